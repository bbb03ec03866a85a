package witness

import (
	"slices"
	"strings"
)

// Of many patterns only so many pairs are looked at, and walked through.
const (
	togetherMost = 6 // patterns that are walked through together; of more each two are
	lookedMost   = 2_000_000
	walkedMost   = 3000
)

// explored walks through regular expressions, together with the other patterns, letter by letter, and gives a text for
// each set of patterns that the walk finds met. Of more than a few, each is walked through alone, and each two that may
// have a text in common.
func (s *Set) explored(form Form) []string {
	regex := func(p Pattern) bool { return p.Kind == Regex }
	if !slices.ContainsFunc(s.patterns, regex) {
		return nil
	}
	if len(s.patterns) <= togetherMost {
		return walk(s.patterns, form)
	}
	var out []string
	for _, p := range s.patterns {
		if regex(p) {
			out = append(out, walk([]Pattern{p}, form)...)
		}
	}
	walked := 0
	for i, j := range s.overlapping() {
		if walked++; walked > walkedMost {
			break
		}
		out = append(out, walk([]Pattern{s.patterns[i], s.patterns[j]}, form)...)
	}
	return out
}

// overlapping gives pairs of patterns, at least one of them a regular expression, that walking through both may tell more
// of: their ends do not rule out a text that meets both, nor tell that one is met wherever the other is.
func (s *Set) overlapping() func(yield func(i, j int) bool) {
	byHead := map[string][]int{}
	var lengths []int
	for i, e := range s.ends {
		byHead[e.head] = append(byHead[e.head], i)
		lengths = append(lengths, len(e.head))
	}
	slices.Sort(lengths)
	lengths = slices.Compact(lengths)
	return func(yield func(i, j int) bool) {
		looked := 0
		for j, e := range s.ends {
			for _, n := range lengths {
				if n > len(e.head) {
					break
				}
				for _, i := range byHead[e.head[:n]] {
					if n == len(e.head) && i >= j {
						break // it comes in turn with the other one
					}
					if looked++; looked > lookedMost {
						return
					}
					if s.mayMeet(i, j) && !yield(i, j) {
						return
					}
				}
			}
		}
	}
}

// mayMeet tells of two patterns, of which the first has a head that the second begins with, whether walking through both
// may find more than walking through each.
func (s *Set) mayMeet(i, j int) bool {
	p, q := s.patterns[i], s.patterns[j]
	a, b := s.ends[i].tail, s.ends[j].tail
	switch {
	case p.Kind != Regex && q.Kind != Regex, !strings.HasSuffix(a, b) && !strings.HasSuffix(b, a):
		return false
	case p.Kind == Exact:
		return s.matchers[j](p.Value)
	case q.Kind == Exact:
		return s.matchers[i](q.Value)
	case p.Kind == Prefix && !q.IgnoreCase:
		return len(p.Value) > len(s.ends[j].head) || p.Value != s.ends[i].head // else each text of q begins so
	}
	return true
}
