package machine

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestWhatNeverBecameAnEntryIsForgotten has machines come and go while nothing can be written.
func TestWhatNeverBecameAnEntryIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPIServer(t)
		g, _ := a.replica("one")
		a.mu.Lock()
		a.away = true
		a.mu.Unlock()
		for i := range 9 {
			g.Join(joins(string(rune('a'+i)), dbNode(i+1)))
		}
		time.Sleep(2 * round)
		if len(g.registered) != 9 {
			t.Fatalf("%d are registered", len(g.registered))
		}
		for i := range 9 {
			g.Ended(string(rune('a' + i)))
		}
		time.Sleep(2 * answering)
		synctest.Wait()
		if len(g.registered)+len(g.held)+g.groups[groupKey("db")].entries != 0 {
			t.Errorf("kept: %d registrations, %d connections, %d of the group", len(g.registered), len(g.held), g.groups[groupKey("db")].entries)
		}
	})
}

// TestAllReplicasKeepTheGracePeriod has one that is longer than a question takes.
func TestAllReplicasKeepTheGracePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPIServer(t)
		a.grace = 5 * time.Minute
		g, stop := a.replica("one")
		a.replica("two")
		g.Join(joins("1", dbNode(1)))
		a.want("it comes", 2*round, vm, "one")
		g.Ended("1")
		a.want("in its grace period", 4*time.Minute, vm, "one gone")
		a.want("after it", 2*time.Minute, vm, "")
		g.Join(joins("2", dbNode(1)))
		a.want("it comes again", 2*round, vm, "one")
		g.Ended("2")
		a.want("it has gone", 2*round, vm, "one gone")
		stop()
		a.want("and so has its replica", 4*time.Minute, vm, "one gone")
		a.want("the other takes it away", 2*time.Minute, vm, "")
	})
}
