package resource

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
)

// TestCoveringEqualsCover changes a base and the entries over it at random: what is counted from change to
// change is what is counted at once, also where entries hide some of the base or nothing, come and go.
func TestCoveringEqualsCover(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	made := func(name string) *Resource {
		r, err := New(Clusters, name, &clusterv3.Cluster{Name: name, AltStatName: fmt.Sprint(random.IntN(3))})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	entry := func(i int) Entry {
		name := fmt.Sprintf("c%02d", i)
		if random.IntN(4) == 0 {
			return Entry{Name: name}
		}
		return Entry{Name: name, Resource: made(name)}
	}
	pool, base, over, covering := NewPool(), NewSet(), []Entry(nil), &Covering{}
	for range 2000 {
		switch random.IntN(4) {
		case 0, 1:
			base = pool.With(Clusters, base, []Entry{entry(random.IntN(20))})
		case 2:
			e := entry(random.IntN(20))
			over = slices.Clone(over)
			if at, found := slices.BinarySearchFunc(over, e, CompareEntries); found {
				over[at] = e
			} else {
				over = slices.Insert(over, at, e)
			}
		case 3:
			if len(over) > 0 {
				at := random.IntN(len(over))
				over = slices.Delete(slices.Clone(over), at, at+1)
			}
		}
		// Of another pool, so that it is no set that was counted otherwise.
		got, want := covering.Cover(NewPool(), Clusters, base, over), NewPool().Cover(Clusters, base, over)
		if got.totals != want.totals || got.Version() != want.Version() || !slices.Equal(slices.Collect(got.All()), slices.Collect(want.All())) {
			t.Fatalf("%v over %v is %v, want %v", over, base.totals, got.totals, want.totals)
		}
		if whole := NewSet(slices.Collect(got.All())...); whole.totals != got.totals {
			t.Fatalf("a set says that it is %v and is %v", got.totals, whole.totals)
		}
	}
}
