package xds

import (
	"maps"
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestSmallMapIsAMap compares it with a map through random histories, below and above what its list takes.
func TestSmallMapIsAMap(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var got smallMap[int]
		want := map[string]int{}
		for i := range 400 {
			name := strconv.Itoa(random.IntN(3 * fewNames / 2))
			switch random.IntN(8) {
			case 0, 1, 2, 3:
				got.put(name, i)
				want[name] = i
			case 4, 5, 6:
				got.drop(name)
				delete(want, name)
			default: // while all are walked through
				odd := func(v int) bool { return v%2 == 1 }
				for name, v := range got.all() {
					if odd(v) {
						got.drop(name)
					}
				}
				maps.DeleteFunc(want, func(_ string, v int) bool { return odd(v) })
			}
			if got.len() != len(want) || !maps.Equal(maps.Collect(got.all()), want) {
				t.Fatalf("seed %d, step %d: %v, want %v", seed, i, maps.Collect(got.all()), want)
			}
			wanted, has := want[name]
			if v, ok := got.get(name); ok != has || v != wanted {
				t.Fatalf("seed %d, step %d: %s is %d, %v, want %d, %v", seed, i, name, v, ok, wanted, has)
			}
		}
		taken := got.take()
		if got.len() != 0 || !maps.Equal(maps.Collect(taken.all()), want) {
			t.Fatalf("seed %d: took %v of %v, and left %d", seed, maps.Collect(taken.all()), want, got.len())
		}
	}
}
