package push

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Whatever parts are at fault, these are found and no others, in a number of rounds that grows with the
// faults and hardly with the parts; and nothing that was found innocent is left out again.
func TestBisectionFindsTheFaults(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		parts, faults := 1+random.IntN(200), map[int]bool{}
		for range 1 + random.IntN(4) {
			faults[random.IntN(parts)] = true
		}
		var found []int
		b := bisection{}
		for i := range parts {
			b.suspects = append(b.suspects, i)
		}
		served, note := 0, func(i int) { found = append(found, i) }
		for more := b.next(note); more; more = b.next(note) {
			out := b.out()
			taken := !slices.ContainsFunc(slices.Collect(func(yield func(int) bool) {
				for i := range faults {
					if !yield(i) {
						return
					}
				}
			}), func(i int) bool { return !slices.Contains(out, i) })
			if taken {
				if parts-len(out) < served {
					t.Fatalf("%d parts, faults %v: %d were served, now %d", parts, faults, served, parts-len(out))
				}
				served = parts - len(out)
			}
			b.answer(taken)
		}
		if len(found) != len(faults) || slices.ContainsFunc(found, func(i int) bool { return !faults[i] }) {
			t.Fatalf("%d parts, faults %v: found %v", parts, faults, found)
		}
		if served != parts-len(faults) {
			t.Fatalf("%d parts, faults %v: %d are served in the end", parts, faults, served)
		}
		if most := 3 + 16*len(faults); b.rounds > most {
			t.Fatalf("%d parts, faults %v: %d rounds, want %d at most", parts, faults, b.rounds, most)
		}
	}
}

// A proxy that starts where nothing is known yet is not without all parts until the fault is found.
func TestBisectionServesMostPartsEarly(t *testing.T) {
	const parts = 1000
	for bad := range parts {
		b := bisection{}
		for i := range parts {
			b.suspects = append(b.suspects, i)
		}
		for more := b.next(nil); more; more = b.next(func(int) {}) {
			taken := slices.Contains(b.out(), bad)
			b.answer(taken)
			out := len(b.rest()) // of what the proxy runs by now
			if most := parts >> (b.rounds / 2); out > most+1 {
				t.Fatalf("fault %d: %d parts are out after %d rounds, want %d", bad, out, b.rounds, most)
			}
		}
	}
}
