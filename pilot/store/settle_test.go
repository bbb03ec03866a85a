package store

import (
	"testing"
	"testing/synctest"
	"time"
)

// Who waits for what was delivered is told by the reader once a commit with all of it is in effect, also where it
// changes nothing.
func TestSettleWaitsForAllThatWasDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := running(t, Options{Sources: []SourceOptions{{Name: "a"}}})
		settle := func() *bool {
			settled := false
			go func() {
				if err := s.Settle(t.Context()); err != nil {
					t.Error(err)
				}
				settled = true
			}()
			synctest.Wait()
			return &settled
		}
		s.Synced("a")
		commitNow(s)
		idle := settle()
		c := commitNow(s)
		if c == nil || !c.Empty() || *idle {
			t.Fatalf("where nothing waits comes %+v, settled %v", c, *idle)
		}
		c.Applied()
		if synctest.Wait(); !*idle {
			t.Error("not settled after an empty commit")
		}

		s.Apply("a", events(load(t, "small.yaml")...), nil)
		waiting := settle()
		for range 2 { // endpoints, which do not wait, and then the configuration
			if c = commitNow(s); c == nil || *waiting {
				t.Fatalf("commit %+v, settled %v", c, *waiting)
			}
			c.Applied()
			if len(c.Snapshot.Services("default")) > 0 {
				break
			}
			if synctest.Wait(); *waiting {
				t.Fatal("settled before the configuration was committed")
			}
			time.Sleep(time.Second)
		}
		if synctest.Wait(); !*waiting || c.Empty() {
			t.Errorf("settled is %v after %+v", *waiting, c)
		}
	})
}
