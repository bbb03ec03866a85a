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
		served := 0
		for more := true; more; more = b.next(func(i int) { found = append(found, i) }) {
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
		if most := 2 + 10*len(faults); b.rounds > most {
			t.Fatalf("%d parts, faults %v: %d rounds, want %d at most", parts, faults, b.rounds, most)
		}
	}
}
