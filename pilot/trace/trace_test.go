package trace

import (
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// delivered collects what is over.
type delivered struct {
	mu  sync.Mutex
	all []*Record
}

func (d *delivered) deliver(r *Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, r)
}

func TestNobodyFollowsAtNoCost(t *testing.T) {
	var r *Recorder
	if n := testing.AllocsPerRun(100, func() {
		c := r.Begin(Event{})
		c.Built(Build{})
		c.Await()
		c.Refused(Answer{})
		c.Taken(Answer{}, true)
		c.Gone(false)
		c.Pushed(Push{})
	}); n != 0 {
		t.Errorf("a change that nobody follows costs %v allocations", n)
	}
}

func TestAChangeIsOverWithItsLastClient(t *testing.T) {
	var d delivered
	c := New(Options{Deliver: d.deliver}).Begin(Event{Version: 7})
	var clients sync.WaitGroup
	for i := range 1000 {
		c.Await()
		clients.Go(func() {
			switch {
			case i < 10:
				c.Refused(Answer{Proxy: strconv.Itoa(i)})
				c.Taken(Answer{At: time.Now()}, true)
			case i < 20:
				c.Gone(false)
			default:
				c.Taken(Answer{At: time.Now()}, false)
			}
		})
	}
	clients.Wait()
	if len(d.all) != 0 {
		t.Fatal("a change is over before all clients have been told")
	}
	c.Pushed(Push{Clients: 1000})
	if len(d.all) != 1 {
		t.Fatalf("%d changes are over, want 1", len(d.all))
	}
	a := d.all[0].Acknowledgements
	if a.Concerned != 1000 || a.Taken != 980 || a.Refused != 10 || a.Gone != 10 || a.Late || a.Ended.IsZero() {
		t.Errorf("got %+v", a)
	}
	if len(a.Last) != maxNamed || len(a.Refusals) != maxNamed {
		t.Errorf("%d of the last are named and %d refusals, want %d of each", len(a.Last), len(a.Refusals), maxNamed)
	}
}

func TestNobodyIsAwaitedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d delivered
		r := New(Options{Deliver: d.deliver})
		var open []*Change
		for range maxOpen {
			c := r.Begin(Event{})
			c.Await()
			c.Pushed(Push{})
			open = append(open, c)
		}
		if r.Begin(Event{}) != nil {
			t.Error("more changes are followed than there may be")
		}
		time.Sleep(defaultPatience)
		synctest.Wait()
		if len(d.all) != maxOpen || !d.all[0].Acknowledgements.Late {
			t.Fatalf("%d changes are over, want %d that nobody waits for any longer", len(d.all), maxOpen)
		}
		open[0].Taken(Answer{At: time.Now()}, false) // as if nothing were
		c := r.Begin(Event{})
		r.Close()
		c.Pushed(Push{})
		if last := d.all[len(d.all)-1]; len(d.all) != maxOpen+1 || last.LeftOut != 1 {
			t.Errorf("at the end %d are over, and %d were left out", len(d.all), last.LeftOut)
		}
	})
}
