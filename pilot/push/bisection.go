package push

import "slices"

// bisection finds which of several parts a proxy does not take, by asking it about some of them at a time.
// In each round all parts that are not known to be innocent are left out, but for those that are tried:
// so whatever the proxy takes is safe, and serves more than what it took before. A half that is rejected is
// followed by the other one, which is most likely innocent: so half of the suspects are served after two
// rounds, three quarters after four, wherever a single fault is.
type bisection struct {
	faults   []int   // found
	suspects []int   // of which one is at fault at least
	others   [][]int // further groups of suspects
	open     []int   // of which nothing is known
	trying   []int   // in the present round; none where all suspects are left out
	few      bool    // most parts are no suspects, so that the first round leaves out all of these
	// took tells that the proxy took a trial, so that parts are at fault; rejections counts those before.
	took       bool
	rejections int
	rounds     int
}

// out lists the parts that the present round leaves out.
func (b *bisection) out() []int {
	out := slices.DeleteFunc(slices.Concat(b.faults, b.rest()), func(i int) bool { return slices.Contains(b.trying, i) })
	slices.Sort(out)
	return out
}

// rest lists the parts that are neither known to be innocent nor at fault.
func (b *bisection) rest() []int {
	return slices.Concat(slices.Concat(b.others...), b.suspects, b.open)
}

// again begins anew with further suspects: nothing is known of those of before either.
func (b *bisection) again(more []int) {
	b.suspects = append(b.rest(), more...)
	b.others, b.open, b.rejections = nil, nil, 0
	b.rounds++
}

// answer takes the proxy's answer to the present round.
func (b *bisection) answer(taken bool) {
	b.rounds++
	tried := b.trying
	b.trying = nil
	if taken {
		b.took = true
	} else {
		b.rejections++
	}
	switch {
	case len(tried) == 0: // taken, since otherwise it is no part that is at fault
	case len(b.open) > 0:
		if !taken {
			b.others = append(b.others, b.open)
		}
		b.open = nil
	case taken:
		b.suspects = b.suspects[len(tried):]
	default:
		b.suspects, b.open = tried, b.suspects[len(tried):]
	}
}

// next begins another round, and tells whether there is one. found is called with each part that turns
// out to be at fault. That parts are at fault at all is asked when the proxy has taken no half.
func (b *bisection) next(found func(int)) bool {
	if !b.took && (b.few || b.rejections > 1 || len(b.suspects) == 1 && len(b.open) == 0) {
		return true
	}
	if len(b.open) > 0 {
		b.trying = b.open
		return true
	}
	for len(b.suspects) == 1 {
		found(b.suspects[0])
		b.faults, b.suspects = append(b.faults, b.suspects[0]), nil
		if last := len(b.others) - 1; last >= 0 {
			b.suspects, b.others = b.others[last], b.others[:last]
		}
	}
	b.trying = b.suspects[:len(b.suspects)/2]
	return len(b.trying) > 0
}
