package push

import (
	"encoding/binary"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// Set is an immutable set of resources of one type, by name: those of a base that several sets
// share, which may itself stand on another, and over it a few of its own. A set with few changes
// costs a copy of pointers, not of resources.
type Set struct {
	id   uint64  // unique in the process, for remembering differences
	base *Set    // nil for none
	over []entry // by name; they hide those of the base
	totals

	named func() string // the version

	mu         sync.Mutex
	diffs      map[uint64]Diff       // by former set
	selections map[uint64]*Selection // by set of names
	pieces     []*Piece
}

// totals tell sets of other resources apart.
type totals struct {
	sum    uint64 // of the resources' hashes, which does not depend on their order
	bytes  int
	length int
}

// entry is a name and its resource; nil hides the base's.
type entry struct {
	name string
	r    *Resource
}

// Diff is what it takes to come from one set to another.
type Diff struct {
	Changed []*Resource // added or with other bytes, by name
	Former  []*Resource // what each of them takes the place of, nil where it is new
	Removed []*Resource // as they were in the former set, by name
}

// maxDiffs bounds how many former sets a set remembers its difference to: streams of one view are
// rarely more than a few commits apart.
const maxDiffs = 16

var lastSet atomic.Uint64

// NewSet makes a set; of two resources with one name the last counts.
func NewSet(resources ...*Resource) *Set { return (*Set)(nil).layer(resources) }

// entries sorts resources by name; of two with one name the last counts.
func entries(resources []*Resource) []entry {
	out := make([]entry, 0, len(resources))
	for _, r := range slices.Backward(resources) {
		out = append(out, entry{r.Name, r})
	}
	slices.SortStableFunc(out, compareEntries)
	return slices.CompactFunc(out, func(a, b entry) bool { return a.name == b.name })
}

func compareEntries(a, b entry) int { return strings.Compare(a.name, b.name) }

// layer gives a set of the base s with some resources over it; nil is empty.
func (s *Set) layer(resources []*Resource) *Set { return s.cover(entries(resources)) }

// cover takes ownership of sorted entries.
func (s *Set) cover(over []entry) *Set {
	out := &Set{id: lastSet.Add(1), base: s, over: over}
	if s != nil {
		out.totals = s.totals
	}
	for _, e := range over {
		if s != nil {
			out.count(s.Get(e.name), -1)
		}
		out.count(e.r, 1)
	}
	out.named = sync.OnceValue(out.totals.version)
	return out
}

// count adds a resource to the totals, or takes it away.
func (s *totals) count(r *Resource, sign int) {
	if r == nil {
		return
	}
	s.sum += uint64(sign) * r.sum
	s.bytes += sign * r.size
	s.length += sign
}

// after gives the totals of s with some entries replaced, where nil removes.
func (s *Set) after(changes []entry) totals {
	out := s.totals
	for _, e := range changes {
		out.count(s.Get(e.name), -1)
		out.count(e.r, 1)
	}
	return out
}

// with gives a set of its own, without a base, with some entries replaced, where nil removes.
// changes are sorted by name.
func (s *Set) with(changes []entry) *Set {
	old := s.merged()
	next := make([]entry, 0, len(old)+len(changes))
	for _, e := range changes {
		at, found := slices.BinarySearchFunc(old, e, compareEntries)
		next = append(next, old[:at]...)
		if old = old[at:]; found {
			old = old[1:]
		}
		if e.r != nil {
			next = append(next, e)
		}
	}
	next = append(next, old...)
	if s.base != nil {
		next = slices.DeleteFunc(next, func(e entry) bool { return e.r == nil }) // hidden in s
	}
	out := (*Set)(nil).cover(next)
	out.pieces = s.piecesAfter(changes)
	return out
}

// Get gives the resource of a name, or nil. It is called for each client that a change concerns.
func (s *Set) Get(name string) *Resource {
	for from, to := 0, len(s.over); from < to; {
		middle := int(uint(from+to) / 2)
		switch order := strings.Compare(s.over[middle].name, name); {
		case order == 0:
			return s.over[middle].r
		case order < 0:
			from = middle + 1
		default:
			to = middle
		}
	}
	if s.base != nil {
		return s.base.Get(name)
	}
	return nil
}

// Find is Get for a name in a request.
func (s *Set) Find(name []byte) *Resource {
	for from, to := 0, len(s.over); from < to; {
		middle := int(uint(from+to) / 2)
		switch at := &s.over[middle]; {
		case at.name == string(name): // neither comparison copies the name
			return at.r
		case at.name < string(name):
			from = middle + 1
		default:
			to = middle
		}
	}
	if s.base != nil {
		return s.base.Find(name)
	}
	return nil
}

// Len gives the number of resources.
func (s *Set) Len() int { return s.length }

// Version changes when any resource does; a hash, equal for equal sets.
func (s *Set) Version() string { return s.named() }

func (s totals) version() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], s.sum)
	binary.BigEndian.PutUint64(b[8:], uint64(s.length))
	return version(xxhash.Sum64(b[:]))
}

// Bytes gives the size of all resources on the wire.
func (s *Set) Bytes() int { return s.bytes }

// All gives the resources by name.
func (s *Set) All() iter.Seq[*Resource] {
	return func(yield func(*Resource) bool) {
		for _, e := range s.merged() {
			if e.r != nil && !yield(e.r) {
				return
			}
		}
	}
}

// merged gives the entries of all layers as one list by name, which nobody may change. Some may be
// nil, for what is hidden.
func (s *Set) merged() []entry {
	if s.base == nil {
		return s.over
	}
	below, over := s.base.merged(), s.over
	if len(over) == 0 {
		return below
	}
	out := make([]entry, 0, len(below)+len(over))
	for len(below) > 0 && len(over) > 0 {
		switch order := compareEntries(below[0], over[0]); {
		case order < 0:
			out, below = append(out, below[0]), below[1:]
		case order == 0:
			below = below[1:]
		default:
			out, over = append(out, over[0]), over[1:]
		}
	}
	return append(append(out, below...), over...)
}

// Since tells what changed since a former set, which may be another view's. It is computed once
// for all streams that ask, and the part of a shared base once for all sets over it.
func (s *Set) Since(old *Set) Diff {
	if s == old {
		return Diff{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := s.diffs[old.id]; ok {
		return d
	}
	var d Diff
	for _, n := range s.candidates(old) {
		r, was := s.Get(n), old.Get(n)
		switch {
		case r == was:
		case r == nil:
			d.Removed = append(d.Removed, was)
		case was == nil || was.Version != r.Version:
			d.Changed, d.Former = append(d.Changed, r), append(d.Former, was)
		}
	}
	if s.diffs == nil || len(s.diffs) >= maxDiffs {
		s.diffs = map[uint64]Diff{}
	}
	s.diffs[old.id] = d
	return d
}

// candidates gives the names that may differ, sorted.
func (s *Set) candidates(old *Set) []string {
	var out []string
	if s.base != nil && old.base != nil {
		d := s.base.Since(old.base)
		for _, r := range slices.Concat(d.Changed, d.Removed) {
			out = append(out, r.Name)
		}
	} else {
		out = append(names(s.base), names(old.base)...)
	}
	a, b := s.over, old.over
	if len(a) > 0 && len(a) == len(b) && &a[0] == &b[0] { // the same list over another base
		a, b = nil, nil
	}
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].name < b[0].name:
			out, a = append(out, a[0].name), a[1:]
		case len(a) == 0 || b[0].name < a[0].name:
			out, b = append(out, b[0].name), b[1:]
		default:
			if a[0].r != b[0].r || a[0].r == nil {
				out = append(out, a[0].name)
			}
			a, b = a[1:], b[1:]
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func names(s *Set) []string {
	if s == nil {
		return nil
	}
	all := s.merged()
	out := make([]string, len(all))
	for i, e := range all {
		out[i] = e.name
	}
	return out
}

// View is what one class of proxies should have at one moment. It is immutable.
type View struct {
	Class string
	sets  [NumTypes]*Set
}

// NewView makes a view of fixed resources.
func NewView(class string, resources ...*Resource) *View {
	var byType [NumTypes][]*Resource
	for _, r := range resources {
		byType[r.Type] = append(byType[r.Type], r)
	}
	v := &View{Class: class}
	for t := range byType {
		v.sets[t] = NewSet(byType[t]...)
	}
	return v
}

// Set gives the view's resources of a type.
func (v *View) Set(t Type) *Set { return v.sets[t] }

// Bytes gives the size of all resources on the wire.
func (v *View) Bytes() int {
	n := 0
	for _, s := range v.sets {
		n += s.bytes
	}
	return n
}
