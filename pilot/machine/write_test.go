package machine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
)

// server is an API server that takes its time for each write.
type server struct {
	takes  map[string]time.Duration // of entries that are not written at once
	mu     sync.Mutex
	now    int
	most   int
	writes []string
}

func (a *server) write(ctx context.Context, c Change) error {
	a.mu.Lock()
	a.now++
	a.most = max(a.most, a.now)
	a.mu.Unlock()
	defer func() { a.mu.Lock(); a.now--; a.mu.Unlock() }()
	takes, ok := a.takes[c.Key.Name]
	if !ok {
		takes = 10 * time.Millisecond
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(takes):
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.Status != nil {
		a.writes = append(a.writes, fmt.Sprint(c.Key.Name, " ", c.Status.Healthy, c.Status.Message))
	}
	return nil
}

// machines runs a Registry with n machines, each of which speaks by the function given.
func machines(t *testing.T, a *server, n int) (g *Registry, say func(i int, healthy bool, message string)) {
	g, _ = start(t, a.write)
	at := func(i int) string { return fmt.Sprintf("10.1.%d.%d", i/250, i%250) }
	var all []*model.Object
	for i := range n {
		all = append(all, object(fmt.Sprintf("m%03d", i), at(i), "db", "true"))
	}
	g.Apply("kube", added(all...), nil)
	return g, func(i int, healthy bool, message string) {
		h := says(fmt.Sprint(i), healthy, func(n *push.Node) { n.Peer, n.IPs = at(i), []string{at(i)} })
		h.Message = message
		g.Health(h)
	}
}

func TestManyMachinesAreWrittenInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &server{takes: map[string]time.Duration{"m000": time.Hour}}
		_, say := machines(t, a, 500)
		for i := range 500 {
			say(i, true, "")
		}
		time.Sleep(writeTimeout + 3*time.Second) // one hangs
		synctest.Wait()
		if len(a.writes) != 499 || a.most > writesAtOnce {
			t.Errorf("%d are written, %d at once", len(a.writes), a.most)
		}
		for range 10 {
			for i := range 500 {
				say(i, true, "")
			}
			time.Sleep(2 * time.Second)
		}
		if len(a.writes) != 499 {
			t.Errorf("%d writes: what is said again is written again", len(a.writes))
		}
		say(7, false, "down")
		time.Sleep(2 * writeTimeout)
		synctest.Wait()
		if !slices.Contains(a.writes, "m007 falsedown") {
			t.Error("a write that hangs holds up the others")
		}
	})
}

func TestWhatBringsAMachineOutComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &server{}
		_, say := machines(t, a, 100)
		for i := range 100 {
			say(i, i == 99, "one")
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		a.mu.Lock()
		a.writes = nil
		a.mu.Unlock()
		time.Sleep(round)
		say(0, false, "wakes it up")
		synctest.Wait()
		for i := range 100 {
			say(i, false, "two")
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if at := slices.Index(a.writes, "m099 falsetwo"); at < 0 || at > 8 {
			t.Errorf("it is written as number %d of %d", at, len(a.writes))
		}
	})
}
