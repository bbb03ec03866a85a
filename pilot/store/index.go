package store

import (
	"cmp"
	"slices"
	"strings"
)

// index finds items (objects, services) by what they say of themselves: the namespace that they live
// in, a host that they are about, a gateway that they name. Each list is a row; what is not in a list
// is not concerned when the list changes.
type index[T comparable] struct {
	lists *table[[]T]
	// names are those under which a client or namespace has lists, and wildcards the ones of these that
	// begin with "*", the longest first. They change only when a list comes or goes.
	names, wildcards *table[[]string]
	declared         Index
	order            func(a, b T) int
	moved            map[Place]*moved[T]
}

// moved are items that leave a list and items that come into it.
type moved[T any] struct {
	out, in []T
	loud    bool // not all of them mean the same as before
}

func newIndex[T comparable](d Index, changed *journal, own *owned, order func(a, b T) int) *index[T] {
	if !d.Own {
		own = nil
	}
	return &index[T]{
		lists: newTable[[]T](d.Name, changed, own), names: newTable[[]string]("names of "+d.Name, changed, own),
		wildcards: newTable[[]string]("wildcards of "+d.Name, changed, nil),
		declared:  d, order: order, moved: map[Place]*moved[T]{},
	}
}

// take takes an item out of its lists. same tells that one which means the same is put in its place, so that nobody
// has to look again.
func (x *index[T]) take(item T, same bool, places ...Place) {
	for _, k := range places {
		m := x.at(k, same)
		if at := slices.Index(m.in, item); at >= 0 { // it came since the last flush
			m.in = slices.Delete(m.in, at, at+1)
		} else {
			m.out = append(m.out, item)
		}
	}
}

// put puts an item into lists. same tells that one which means the same was taken out of them.
func (x *index[T]) put(item T, same bool, places ...Place) {
	for _, k := range places {
		m := x.at(k, same)
		m.in = append(m.in, item)
	}
}

func (x *index[T]) at(k Place, same bool) *moved[T] {
	m := x.moved[k]
	if m == nil {
		m = &moved[T]{}
		x.moved[k] = m
	}
	m.loud = m.loud || !same
	return m
}

// flush brings the lists up to what moved, and gives their keys.
func (x *index[T]) flush() []Place {
	keys := make([]Place, 0, len(x.moved))
	for k, m := range x.moved {
		keys = append(keys, k)
		before := x.lists.row(k)
		after := replaceRows(before, m.out, m.in, x.order)
		switch {
		case slices.Equal(before, after):
		case len(after) == 0:
			x.lists.drop(k)
		case m.loud:
			x.lists.put(k, after)
		default:
			x.lists.refresh(k, after)
		}
		if (len(before) == 0) != (len(after) == 0) {
			x.rename(k, len(after) > 0)
		}
	}
	clear(x.moved)
	return keys
}

// rename notes that a name has a list now, or none any more.
func (x *index[T]) rename(k Place, present bool) {
	of := Place{Client: k.Client, Namespace: k.Namespace}
	if x.declared.Names {
		relist(x.names, of, k.Name, present, strings.Compare)
	}
	if x.declared.Wildcards && strings.HasPrefix(k.Name, "*") {
		relist(x.wildcards, of, k.Name, present, mostSpecific)
	}
}

// mostSpecific orders wildcards, the longest first.
func mostSpecific(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }

func (x *index[T]) freeze() found[T] {
	return found[T]{x.lists.freeze(), x.names.freeze(), x.wildcards.freeze()}
}

// found is an index as a snapshot has it.
type found[T any] struct {
	lists            rows[[]T]
	names, wildcards rows[[]string]
}

// replaceRows gives a sorted list with the rows of out taken away and those of in put in. What
// stays is copied in stretches, so that a long list costs little more than its memory.
func replaceRows[T any](rows, out, in []T, order func(a, b T) int) []T {
	if len(out) == 0 && len(in) == 0 {
		return rows
	}
	out, in = slices.Clone(out), slices.Clone(in)
	slices.SortFunc(out, order)
	slices.SortFunc(in, order)
	next := make([]T, 0, max(0, len(rows)-len(out))+len(in))
	for len(out)+len(in) > 0 {
		leaves := len(out) > 0 && (len(in) == 0 || order(out[0], in[0]) <= 0)
		if leaves {
			at, found := slices.BinarySearchFunc(rows, out[0], order)
			next = append(next, rows[:at]...)
			if found {
				at++
			}
			rows, out = rows[at:], out[1:]
			continue
		}
		at, _ := slices.BinarySearchFunc(rows, in[0], order)
		next = append(append(next, rows[:at]...), in[0])
		rows, in = rows[at:], in[1:]
	}
	return append(next, rows...)
}
