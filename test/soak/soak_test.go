package soak

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

var (
	clients = flag.Int("clients", 60, "simulated proxies")
	rounds  = flag.Int("rounds", 15, "rounds of edits, of which each has to reach each client that stays")
	seed    = flag.Uint64("seed", 1, "of edits and clients")
)

// What may be left: memory of names, of what clients may run whose streams broke, and what the runtime keeps.
const (
	heapTolerance      = 16 << 20
	goroutineTolerance = 8
)

func TestEverythingAtOnce(t *testing.T) {
	e := newEditor(t, *seed)
	p, stop := start(t, e.dirs())
	defer stop()
	s := &soak{t: t, plane: p, editor: e}
	s.run(1, min(*clients, 20)) // what is made once
	heap, number := s.settled(0, 0)
	s.run(*rounds, *clients)
	afterHeap, afterNumber := s.settled(heap, number)
	t.Logf("%d streams, %d responses, %d of them refused, %d pages, %d answers over ADS",
		s.did.streams.Load(), s.did.responses.Load(), s.did.refusals.Load(), s.did.pages.Load(), s.did.answers.Load())
	t.Logf("heap %d KiB, then %d KiB; goroutines %d, then %d", heap>>10, afterHeap>>10, number, afterNumber)
	if afterHeap > heap+heapTolerance {
		t.Errorf("heap: %d KiB before, %d KiB after", heap>>10, afterHeap>>10)
	}
	if afterNumber > number+goroutineTolerance {
		t.Errorf("goroutines: %d before, %d after\n%s", number, afterNumber, goroutines())
	}
}

type soak struct {
	t          *testing.T
	plane      *plane
	editor     *editor
	generation int64
	did        counts
}

// run has so many clients, and all that asks, for so many rounds.
func (s *soak) run(rounds, number int) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	var running sync.WaitGroup
	defer func() {
		cancel()
		s.await("the clients and those who ask end", running.Wait)
	}()
	var all []*client
	for i := range number {
		proven := i%2 == 0
		namespace := "ns-0"
		if !proven {
			namespace = fmt.Sprintf("ns-%d", 1+i%3)
		}
		c := newClient(i, s.plane.dial(proven), namespace, *seed, &s.did)
		if i%5 == 4 {
			c.temper = 1 + temper(i/5)%(tempers-1)
		}
		all = append(all, c)
		running.Go(func() {
			c.run(ctx)
			_ = c.conn.Close() // nobody uses it any more
		})
	}
	failed := make(chan error, 8)
	asks := func(ask func() error) {
		running.Go(func() {
			if err := ask(); err != nil {
				failed <- err
			}
		})
	}
	for i := range 2 { // more at a time are told to come again for all objects
		asks(func() error { return s.plane.ask(ctx, s.plane.pages(fmt.Sprintf("soak-%d.ns-0", 2*i)), &s.did.pages) })
	}
	for _, page := range []string{"roots", "roots", "syncz"} { // what reads every stream
		asks(func() error {
			return s.plane.ask(ctx, []string{"http://" + s.plane.cfg.HTTPAddr + "/debug/pilothouse/" + page}, &s.did.pages)
		})
	}
	conn := s.plane.dial(true)
	defer conn.Close()
	asks(func() error { return s.plane.askADS(ctx, conn, &s.did.answers) })
	for range rounds {
		s.generation++
		s.editor.mark(s.generation)
		s.arrives(all, failed)
	}
	s.editor.restore()
}

// everyEdit is after what time something else is edited, so that most edits are a commit of their own.
const everyEdit = 30 * time.Millisecond

// arrives waits until all clients that stay have the marked edit, and edits other things meanwhile.
func (s *soak) arrives(all []*client, failed <-chan error) {
	s.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	tick := time.NewTicker(everyEdit)
	defer tick.Stop()
	for {
		s.editor.edit()
		var behind []int
		for _, c := range all {
			if (c.temper == steady || c.temper == refusing) && c.generation.Load() < s.generation {
				behind = append(behind, c.index)
			}
		}
		if len(behind) == 0 {
			return
		}
		select {
		case <-tick.C:
		case err := <-failed:
			s.t.Fatalf("edit %d: %v\n%s", s.generation, err, goroutines())
		case <-late.C:
			s.t.Fatalf("edit %d has not reached %d clients, %v\n%s", s.generation, len(behind), behind, goroutines())
		}
	}
}

// await waits for the end of something, as long as it may take.
func (s *soak) await(what string, wait func()) {
	s.t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		wait()
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		s.t.Error("never: " + what + "\n" + goroutines())
	}
}

// settled gives heap and goroutines once they are back within tolerance of the former, or do not come back.
func (s *soak) settled(heap uint64, number int) (uint64, int) {
	s.plane.client.CloseIdleConnections()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var m runtime.MemStats
	for i := range 200 {
		<-tick.C
		runtime.GC()
		runtime.ReadMemStats(&m)
		if heap == 0 && i == 20 || heap > 0 && m.HeapAlloc <= heap+heapTolerance && runtime.NumGoroutine() <= number+goroutineTolerance {
			break
		}
	}
	return m.HeapAlloc, runtime.NumGoroutine()
}
