package store

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// What ServiceEntries of one host cost grows as these do, and not as their square: to load them, and to change one.
func TestEntriesOfOneHostAreNotComparedWithEachOther(t *testing.T) {
	const few, factor = 500, 8
	for name, entry := range map[string]func(i int) *model.Object{
		"one namespace, each its port":       func(i int) *model.Object { return oneHost("a", i, uint32(i+1), "") },
		"one namespace, one port":            func(i int) *model.Object { return oneHost("a", i, 80, "") },
		"one namespace, each its address":    func(i int) *model.Object { return oneHost("a", i, 80, fmt.Sprintf("11.0.%d.%d", i/250, i%250)) },
		"each its namespace":                 func(i int) *model.Object { return oneHost(fmt.Sprintf("n%d", i), i, 80, "") },
		"each its namespace, and that alone": func(i int) *model.Object { return oneHost(fmt.Sprintf("n%d", i), i, 80, "", ".") },
	} {
		load, edit := costOfEntries(entry, few)
		loadMore, editMore := costOfEntries(entry, few*factor)
		// The square would be 8 times as much again. What takes no time tells nothing.
		if loadMore > 500*time.Millisecond && loadMore > 4*factor*load {
			t.Errorf("%s: to load %d takes %v, and %d %v", name, few, load, few*factor, loadMore)
		}
		if editMore > 250*time.Millisecond && editMore > 4*factor*edit {
			t.Errorf("%s: to change one of %d takes %v, and of %d %v", name, few, edit, few*factor, editMore)
		}
	}
}

// costOfEntries gives how long it takes to commit so many entries, and then a change of one.
func costOfEntries(entry func(i int) *model.Object, n int) (load, edit time.Duration) {
	s := newState("")
	for i := range n {
		o := entry(i)
		s.put(o.Key, o)
	}
	start := time.Now()
	s.commit()
	load = time.Since(start)
	o := entry(n / 2)
	o.Spec.(*networking.ServiceEntry).Ports[0].Protocol = "HTTP"
	s.put(o.Key, o)
	start = time.Now()
	s.commit()
	return load, time.Since(start)
}

// oneHost gives an entry of the host that all have, with an endpoint of its own.
func oneHost(namespace string, i int, port uint32, address string, exportTo ...string) *model.Object {
	entry := &networking.ServiceEntry{
		Hosts: []string{"one.example.com"}, ExportTo: exportTo, Resolution: networking.ServiceEntry_STATIC,
		Ports:     []*networking.ServicePort{{Number: port, Name: fmt.Sprintf("p%d", port), Protocol: "TCP"}},
		Endpoints: []*networking.WorkloadEntry{{Address: fmt.Sprintf("10.0.%d.%d", i/250, i%250)}},
	}
	if address != "" {
		entry.Addresses = []string{address}
	}
	return &model.Object{Key: model.Key{Kind: model.KindServiceEntry, Namespace: namespace, Name: fmt.Sprintf("e%d", i)}, Spec: entry}
}

// Four times as many hosts of one ServiceEntry take little more than four times the memory, since they are not compared in
// pairs. Who asks for the services of a host pays nothing for what is joined: that is done once.
func TestHostsOfAnEntryAreNotComparedInPairs(t *testing.T) {
	const few = 500
	for name, c := range map[string]struct {
		most uint64 // times as much
		of   func(n int) func()
	}{
		"hosts of an entry": {6, func(n int) func() {
			entry := oneHost("a", 1, 80, "")
			spec := entry.Spec.(*networking.ServiceEntry)
			spec.Endpoints[0].ServiceAccount = "account" // which each host learns of
			for i := range n {
				spec.Hosts = append(spec.Hosts, fmt.Sprintf("h%d.example.com", i))
			}
			return func() {
				s := newState("")
				s.put(entry.Key, entry)
				s.commit()
			}
		}},
		"who asks": {2, func(n int) func() {
			s := newState("")
			for i := range n {
				o := oneHost("a", i, uint32(i+1), "")
				s.put(o.Key, o)
			}
			commit, _ := s.commit()
			r := commit.Snapshot.Reader(nil)
			return func() { r.ServicesNamed("a", "one.example.com") }
		}},
	} {
		less, more := bytesOf(c.of(few)), bytesOf(c.of(4*few))
		if more > c.most*less {
			t.Errorf("%s: %d take %d bytes, and %d %d", name, few, less, 4*few, more)
		}
	}
}

// bytesOf gives the bytes that a function takes, the least of several times.
func bytesOf(f func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}
