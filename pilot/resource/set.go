package resource

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
	over []Entry // by name; they hide those of the base
	totals

	named func() string // the version

	mu      sync.Mutex
	diffs   map[uint64]Diff    // by former set
	lookups map[uint64]*Lookup // by set of names
	blocks  []*Block
}

// totals tell sets of other resources apart.
type totals struct {
	sum    uint64 // of the resources' hashes, which does not depend on their order
	bytes  int
	length int
}

// Entry is what a set is to have under a name; nil hides what its base has.
type Entry struct {
	Name     string
	Resource *Resource
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
func NewSet(resources ...*Resource) *Set {
	over, sum := entries(resources), totals{}
	for _, e := range over {
		sum.count(e.Resource, 1)
	}
	return newSet(nil, over, sum)
}

// entries sorts resources by name; of two with one name the last counts.
func entries(resources []*Resource) []Entry {
	out := make([]Entry, 0, len(resources))
	for _, r := range slices.Backward(resources) {
		out = append(out, Entry{r.Name, r})
	}
	slices.SortStableFunc(out, CompareEntries)
	return slices.CompactFunc(out, func(a, b Entry) bool { return a.Name == b.Name })
}

// CompareEntries orders entries by name.
func CompareEntries(a, b Entry) int { return strings.Compare(a.Name, b.Name) }

func newSet(base *Set, over []Entry, sum totals) *Set {
	return &Set{id: lastSet.Add(1), base: base, over: over, totals: sum, named: sync.OnceValue(sum.version)}
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
func (s *Set) after(changes []Entry) totals {
	out := s.totals
	for _, e := range changes {
		out.count(s.Get(e.Name), -1)
		out.count(e.Resource, 1)
	}
	return out
}

// with gives a set of its own, without a base, with some entries replaced, where nil removes.
// changes are sorted by name.
func (s *Set) with(changes []Entry) *Set {
	hidden := func(e Entry) bool { return e.Resource == nil }
	next := slices.DeleteFunc(covered(s.merged(), changes), hidden)
	out := newSet(nil, next, s.after(changes)) // without a look at each of the others
	out.blocks = s.blocksAfter(changes)
	return out
}

// Get gives the resource of a name, or nil. It is called for each client that a change concerns.
func (s *Set) Get(name string) *Resource { return find(s, name) }

// Find is Get for a name in a request.
func (s *Set) Find(name []byte) *Resource { return find(s, name) }

func find[N string | []byte](s *Set, name N) *Resource {
	for ; s != nil; s = s.base {
		for from, to := 0, len(s.over); from < to; {
			middle := int(uint(from+to) / 2)
			switch at := &s.over[middle]; {
			case at.Name == string(name): // neither comparison copies the name
				return at.Resource
			case at.Name < string(name):
				from = middle + 1
			default:
				to = middle
			}
		}
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
			if e.Resource != nil && !yield(e.Resource) {
				return
			}
		}
	}
}

// merged gives the entries of all layers as one list by name, which nobody may change. Some may be
// nil, for what is hidden.
func (s *Set) merged() []Entry {
	switch {
	case s == nil:
		return nil
	case s.base == nil:
		return s.over
	}
	return covered(s.base.merged(), s.over)
}

// covered gives entries with others over them, all by name. What lies between those is copied in stretches.
func covered(below, over []Entry) []Entry {
	out := make([]Entry, 0, len(below)+len(over))
	for _, e := range over {
		at, found := slices.BinarySearchFunc(below, e, CompareEntries)
		out = append(append(out, below[:at]...), e)
		if below = below[at:]; found {
			below = below[1:]
		}
	}
	return append(out, below...)
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
		for _, e := range slices.Concat(s.base.merged(), old.base.merged()) {
			out = append(out, e.Name)
		}
	}
	a, b := s.over, old.over
	if len(a) > 0 && len(a) == len(b) && &a[0] == &b[0] { // the same list over another base
		a, b = nil, nil
	}
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Name < b[0].Name:
			out, a = append(out, a[0].Name), a[1:]
		case len(a) == 0 || b[0].Name < a[0].Name:
			out, b = append(out, b[0].Name), b[1:]
		default:
			if a[0].Resource != b[0].Resource || a[0].Resource == nil {
				out = append(out, a[0].Name)
			}
			a, b = a[1:], b[1:]
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
