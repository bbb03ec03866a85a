package analyze

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// pairsNamed is how many other objects are named beside the first that an object is in conflict with.
const pairsNamed = 3

// reportPairs notes that an object is in conflict with others, the first of which the text names first. They make one
// finding, since as many pairs as their square are nothing to read.
func (m *mesh) reportPairs(o *model.Object, others []*model.Object, field, code string, level Level, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	var named []string
	for _, other := range others[1:min(len(others), 1+pairsNamed)] {
		named = append(named, other.Key.String())
	}
	if len(named) > 0 {
		text += "; the same goes for " + strings.Join(named, ", ")
	}
	if len(others) > 1+pairsNamed {
		text += " and others"
	}
	m.report(o, field, code, level, "%s %s", others[0].Key, text)
}

// crowd is what wants one thing, in turns, by the sides from which it may be met. So nothing is compared with all that
// came before it.
type crowd[S comparable, T any] map[S][]turn[T]

// turn is one of a crowd.
type turn[T any] struct {
	at int // its place among all
	of T
}

// join adds to sides what has the place at. It comes after what has a lower one.
func (c crowd[S, T]) join(at int, of T, sides ...S) {
	for _, side := range sides {
		if all := c[side]; len(all) == 0 || all[len(all)-1].at != at {
			c[side] = append(all, turn[T]{at, of})
		}
	}
}

// before gives the first of those that came to the sides before a place, as many as a report tells apart.
func (c crowd[S, T]) before(at int, sides ...S) []T {
	const most = 1 + pairsNamed + 1
	var found []turn[T]
	for _, side := range sides {
		all := c[side]
		all = all[:min(len(all), most)]
		found = append(found, slices.DeleteFunc(slices.Clone(all), func(t turn[T]) bool { return t.at >= at })...)
	}
	slices.SortStableFunc(found, func(a, b turn[T]) int { return cmp.Compare(a.at, b.at) })
	found = slices.CompactFunc(found, func(a, b turn[T]) bool { return a.at == b.at })
	var out []T
	for _, t := range found[:min(len(found), most)] {
		out = append(out, t.of)
	}
	return out
}

// selections tells which selectors meet: those that are the same, and those that select a workload in common.
type selections struct {
	ids       map[string]int
	workloads [][]*workload       // of each selector
	at        map[*workload][]int // the selectors of each
	meeting   [][]int             // of each selector, those that it meets, once they were asked for
}

// selectionsOf takes selectors, each with the namespace in which it selects, "" for all of them.
func (m *mesh) selectionsOf(all []selector) *selections {
	s := &selections{ids: map[string]int{}, at: map[*workload][]int{}}
	for _, one := range all {
		if _, known := s.ids[one.String()]; known {
			continue
		}
		id, workloads := len(s.workloads), m.selected(one.namespace, one.labels)
		s.ids[one.String()] = id
		s.workloads, s.meeting = append(s.workloads, workloads), append(s.meeting, nil)
		for _, w := range workloads {
			s.at[w] = append(s.at[w], id)
		}
	}
	return s
}

// selector is labels that workloads of a namespace have to have.
type selector struct {
	namespace string
	labels    map[string]string
}

func (s selector) String() string { return s.namespace + "/" + model.LabelSet(s.labels) }

// of gives the place of a selector.
func (s *selections) of(one selector) int { return s.ids[one.String()] }

// meet gives the selectors that one meets, itself first.
func (s *selections) meet(id int) []int {
	if s.meeting[id] == nil {
		out, seen := []int{id}, map[int]bool{id: true}
		for _, w := range s.workloads[id] {
			for _, other := range s.at[w] {
				if !seen[other] {
					seen[other] = true
					out = append(out, other)
				}
			}
		}
		s.meeting[id] = out
	}
	return s.meeting[id]
}
