package push

import "slices"

// bisection finds which of several parts a proxy does not take, by asking it about some of them at a time.
// In each round all parts that are not known to be innocent are left out, but for those that are tried:
// so whatever the proxy takes is safe, and serves more than what it took before.
type bisection struct {
	faults   []int // found
	suspects []int // of which one is at fault at least
	open     []int // of which nothing is known
	trying   []int // in the present round; none in the first one, which leaves out all suspects
	rounds   int
}

// out lists the parts that the present round leaves out.
func (b *bisection) out() []int {
	out := slices.Concat(b.faults, b.suspects, b.open)
	out = slices.DeleteFunc(out, func(i int) bool { return slices.Contains(b.trying, i) })
	slices.Sort(out)
	return out
}

// answer takes the proxy's answer to the present round.
func (b *bisection) answer(taken bool) {
	b.rounds++
	tried := b.trying
	switch {
	case len(tried) == 0: // taken, since otherwise it is no part that is at fault
	case len(b.suspects) == 0:
		if b.open = nil; !taken {
			b.suspects = tried
		}
	case taken:
		b.suspects = b.suspects[len(tried):]
	default:
		b.suspects, b.open = tried, append(b.open, b.suspects[len(tried):]...)
	}
	b.trying = nil
}

// next begins another round, and tells whether there is one. found is called with each part that turns
// out to be at fault.
func (b *bisection) next(found func(int)) bool {
	if len(b.suspects) == 1 {
		found(b.suspects[0])
		b.faults, b.suspects = append(b.faults, b.suspects[0]), nil
	}
	switch {
	case len(b.suspects) > 0:
		b.trying = b.suspects[:len(b.suspects)/2]
	case len(b.open) > 0:
		b.trying = b.open
	}
	return len(b.trying) > 0
}
