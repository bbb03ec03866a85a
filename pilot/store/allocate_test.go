package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func entryOf(name string, hosts ...string) *model.Object {
	return &model.Object{
		Key: model.Key{Kind: model.KindServiceEntry, Namespace: "default", Name: name},
		Spec: &networking.ServiceEntry{
			Hosts: hosts, Resolution: networking.ServiceEntry_DNS, Ports: []*networking.ServicePort{{Number: 80, Name: "tcp", Protocol: "TCP"}},
		},
	}
}

// twins gives hosts that have one first choice.
func twins(n int) []string {
	bySlot := map[uint32][]string{}
	for i := 0; ; i++ {
		host := fmt.Sprintf("h%d.example.com", i)
		slot := slotFor(host, 0)
		if bySlot[slot] = append(bySlot[slot], host); len(bySlot[slot]) == n {
			slices.Sort(bySlot[slot])
			return bySlot[slot]
		}
	}
}

// allocated gives the first address of each host that a snapshot's services have.
func allocated(s *Snapshot) map[string]string {
	out := map[string]string{}
	for _, svc := range s.AllServices() {
		if len(svc.Allocated) > 0 {
			out[svc.Hostname] = svc.Allocated[0]
		}
	}
	return out
}

func TestWhoGetsAnAddress(t *testing.T) {
	with := func(change func(o *model.Object, e *networking.ServiceEntry)) *model.Object {
		o := entryOf("e", "a.example.com", "*.b.example.com")
		change(o, o.Spec.(*networking.ServiceEntry))
		return o
	}
	for name, c := range map[string]struct {
		entry *model.Object
		hosts int
	}{
		"a name, no wildcard":               {with(func(*model.Object, *networking.ServiceEntry) {}), 1},
		"not with an address":               {with(func(_ *model.Object, e *networking.ServiceEntry) { e.Addresses = []string{"10.0.0.1"} }), 0},
		"not where the application chooses": {with(func(_ *model.Object, e *networking.ServiceEntry) { e.Resolution = networking.ServiceEntry_NONE }), 0},
		"not where the label says so": {with(func(o *model.Object, _ *networking.ServiceEntry) {
			o.Labels = map[string]string{"networking.istio.io/enable-autoallocate-ip": "False"}
		}), 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := allocated(FromObjects([]*model.Object{c.entry}, Options{}))
			if len(got) != c.hosts {
				t.Errorf("addresses %v, want %d", got, c.hosts)
			}
			for host, ip := range got {
				if !netip.MustParsePrefix("240.240.0.0/16").Contains(netip.MustParseAddr(ip)) {
					t.Errorf("%s has %s", host, ip)
				}
			}
		})
	}
}

// What the status says counts, and nobody else gets the address.
func TestStatusAddressesWin(t *testing.T) {
	other := entryOf("other", "b.example.com")
	taken := slotAddresses(slotFor("b.example.com", 0))
	o := entryOf("e", "a.example.com", "c.example.com")
	o.Status = &networking.ServiceEntryStatus{Addresses: []*networking.ServiceEntryAddress{
		{Host: "a.example.com", Value: taken[0]}, {Host: "A.example.com.", Value: taken[1]}, {Host: "a.example.com", Value: "no address"},
	}}
	got := FromObjects([]*model.Object{o, other}, Options{})
	for _, svc := range got.AllServices() {
		if want := slices.Equal(svc.Allocated, taken); want != (svc.Hostname == "a.example.com") {
			t.Errorf("%s has %v", svc.Hostname, svc.Allocated)
		}
		if len(svc.Allocated) == 0 {
			t.Errorf("%s has no address", svc.Hostname)
		}
	}
}

// Of hosts with one first choice the first by name has it, whoever came first, and the move is told.
func TestCollisions(t *testing.T) {
	hosts := twins(3)
	s := newState("")
	put := func(host string, there bool) {
		o := entryOf(host, host)
		if there {
			s.put(o.Key, o)
		} else {
			s.put(o.Key, nil)
		}
		s.commit()
	}
	put(hosts[1], true)
	put(hosts[2], true)
	first := slotAddresses(slotFor(hosts[0], 0))[0]
	before := allocated(s.last)
	if before[hosts[1]] != first || before[hosts[2]] == first || before[hosts[2]] == "" {
		t.Fatalf("%v", before)
	}
	if len(s.moved) > 0 {
		t.Errorf("moved: %v", s.moved)
	}
	put(hosts[0], true)
	after := allocated(s.last)
	if after[hosts[0]] != first || after[hosts[1]] == first || after[hosts[1]] == "" || after[hosts[1]] == after[hosts[2]] {
		t.Errorf("%v", after)
	}
	if len(s.moved) == 0 {
		t.Error("nothing tells that an address moved")
	}
	put(hosts[0], false)
	if back := allocated(s.last); !maps.Equal(back, before) {
		t.Errorf("%v, before %v", back, before)
	}
}

// hostAt gives a host with a first choice, that comes before others by name.
func hostAt(slot uint32) string {
	for i := 0; ; i++ {
		if host := fmt.Sprintf("a%d.example.com", i); slotFor(host, 0) == slot {
			return host
		}
	}
}

// rivals gives hosts that lose their first choices to others and want the same in their place, and the
// host that has that.
func rivals() []string {
	bySlot := map[uint32]string{}
	for i := 0; ; i++ {
		x := fmt.Sprintf("r%d.example.com", i)
		second := slotFor(x, 1)
		y := bySlot[second]
		if y == "" {
			bySlot[second] = x
			continue
		}
		return []string{x, y, hostAt(slotFor(x, 0)), hostAt(slotFor(y, 0)), hostAt(second)}
	}
}

// Hosts that lose their first choices get the next one by name.
func TestSecondChoices(t *testing.T) {
	hosts := rivals()
	winner, second := min(hosts[0], hosts[1]), slotAddresses(slotFor(hosts[0], 1))[0]
	for range 20 { // of which each goes through the losers in another order
		if got := allocated(FromObjects([]*model.Object{entryOf("e", hosts[:4]...)}, Options{})); got[winner] != second || len(got) != 4 {
			t.Fatalf("%v: %s has not %s", got, winner, second)
		}
		if got := allocated(FromObjects([]*model.Object{entryOf("e", hosts...)}, Options{})); got[hosts[4]] != second || got[winner] == second {
			t.Fatalf("%v: %s has not %s", got, hosts[4], second)
		}
	}
}

// Addresses follow from the objects alone, not from what came and went before, and no two hosts share one.
func TestAllocationForgetsItsHistory(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	pool := append(twins(4), rivals()...)
	for i := range 12 {
		pool = append(pool, fmt.Sprintf("more%d.example.com", i))
	}
	s, objects := newState(""), map[model.Key]*model.Object{}
	for range 300 {
		o := entryOf(fmt.Sprintf("e%d", rng.IntN(8)), pool[rng.IntN(len(pool))], pool[rng.IntN(len(pool))])
		if rng.IntN(4) == 0 {
			host := o.Spec.(*networking.ServiceEntry).Hosts[0]
			o.Status = &networking.ServiceEntryStatus{Addresses: []*networking.ServiceEntryAddress{
				{Host: host, Value: slotAddresses(slotFor(pool[rng.IntN(4)], rng.IntN(2)))[0]},
			}}
		}
		if rng.IntN(3) == 0 {
			delete(objects, o.Key)
			s.put(o.Key, nil)
		} else {
			objects[o.Key] = o
			s.put(o.Key, o)
		}
		if _, ok := s.commit(); !ok || len(objects) == 0 {
			continue
		}
		fresh := newState("")
		for _, o := range objects {
			fresh.put(o.Key, o)
		}
		fresh.commit()
		if got, want := allocated(s.last), allocated(fresh.last); !maps.Equal(got, want) {
			t.Fatalf("%v, from scratch %v", got, want)
		}
		owner := map[string]string{}
		for host, slot := range s.allocator.slots {
			ip := slotAddresses(slot)[0]
			if owner[ip] != "" || s.allocator.taken[slot] > 0 {
				t.Fatalf("%s has %s, which is not free (%q)", host, ip, owner[ip])
			}
			owner[ip] = host
		}
	}
}

func TestSlots(t *testing.T) {
	seen := map[string]bool{}
	for slot := range uint32(numSlots) {
		ip := slotAddresses(slot)[0]
		if back, ok := slotOf(ip); seen[ip] || !ok || back != slot {
			t.Fatalf("slot %d: %s, %d", slot, ip, back)
		}
		seen[ip] = true
	}
}
