package turn_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/security/turn"
)

// queued lets requests wait behind one that has the only slot, and gives the order in which they are served.
func queued(t *testing.T, q *turn.Queue[string], keys ...string) []string {
	t.Helper()
	leave, err := q.Enter(t.Context(), "first")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []string
	var all sync.WaitGroup
	for _, key := range keys {
		all.Go(func() {
			leave, err := q.Enter(t.Context(), key)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				order = append(order, key+" is turned away")
				return
			}
			order = append(order, key)
			leave()
		})
		synctest.Wait() // so that they wait in this order
	}
	leave()
	all.Wait()
	return order
}

func TestKeysHaveTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := turn.New[string](turn.Options{Slots: 1, Places: 10})
		got := queued(t, q, "a", "a", "a", "b", "c", "b")
		if want := []string{"a", "b", "c", "a", "b", "a"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// Who has had its rate waits for all others, and is served when there are none.
func TestBeyondTheRateIsServedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := turn.New[string](turn.Options{Slots: 1, Places: 10, Rate: 1, Burst: 2})
		got := queued(t, q, "a", "a", "a", "a", "b", "b", "c")
		if want := []string{"a", "b", "c", "a", "b", "a", "a"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		time.Sleep(2 * time.Second) // of the synctest bubble: two are a's again
		got = queued(t, q, "a", "a", "a", "b")
		if want := []string{"a", "b", "a", "a"}; !slices.Equal(got, want) {
			t.Errorf("after a while: got %v, want %v", got, want)
		}
	})
}

// Those beyond their rate never have all slots.
func TestASlotIsKeptForThoseWithinTheirRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := turn.New[string](turn.Options{Slots: 2, Places: 10, Rate: 1, Burst: 1})
		leave, err := q.Enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		leave()
		if _, err := q.Enter(t.Context(), "a"); err != nil { // beyond, one of two
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { synctest.Wait(); cancel() }()
		if _, err := q.Enter(ctx, "a"); !errors.Is(err, context.Canceled) {
			t.Errorf("the other slot is taken too: %v", err)
		}
		if _, err := q.Enter(t.Context(), "b"); err != nil {
			t.Error(err)
		}
	})
}

// Where all places are taken those with many lose one to those with few.
func TestPlacesAreTakenFromWhoHasTheMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := turn.New[string](turn.Options{Slots: 1, Places: 4})
		got := queued(t, q, "a", "a", "a", "b", "c", "a", "d")
		want := []string{"a is turned away", "a is turned away", "a is turned away", "a", "b", "c", "d"}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestWhoGivesUpLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := turn.New[string](turn.Options{Slots: 1, Places: 1})
		leave, err := q.Enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := q.Enter(ctx, "b"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		go func() { synctest.Wait(); leave() }()
		if _, err := q.Enter(t.Context(), "b"); err != nil {
			t.Errorf("its place is not free: %v", err)
		}
	})
}
