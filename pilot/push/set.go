package push

import (
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// Set is an immutable set of resources of one type, by name.
type Set struct {
	id      uint64 // unique in the process, for remembering differences
	byName  map[string]*Resource
	names   []string // sorted
	version string
	bytes   int

	mu    sync.Mutex
	diffs map[uint64]Diff
}

// Diff is what it takes to come from one set to another.
type Diff struct {
	Changed []*Resource // added or with other bytes, by name
	Removed []*Resource // as they were in the former set, by name
}

// maxDiffs bounds how many former sets a set remembers its difference to: streams of one view are
// rarely more than a few commits apart.
const maxDiffs = 16

var lastSet atomic.Uint64

// NewSet makes a set; of two resources with one name the last counts.
func NewSet(resources ...*Resource) *Set {
	m := make(map[string]*Resource, len(resources))
	for _, r := range resources {
		m[r.Name] = r
	}
	return setOf(m)
}

// setOf takes ownership of m.
func setOf(m map[string]*Resource) *Set {
	s := &Set{id: lastSet.Add(1), byName: m, names: slices.Sorted(maps.Keys(m))}
	h := xxhash.New()
	for _, n := range s.names {
		r := m[n]
		_, _ = h.WriteString(n) // a hash never fails
		_, _ = h.WriteString("\x00" + r.Version)
		s.bytes += len(r.frame)
	}
	s.version = version(h.Sum(nil))
	return s
}

// with gives the set with some resources replaced, or s itself where nothing changes.
func (s *Set) with(changed []*Resource) *Set {
	var m map[string]*Resource
	for _, r := range changed {
		if s.byName[r.Name] == r {
			continue
		}
		if m == nil {
			m = maps.Clone(s.byName)
		}
		m[r.Name] = r
	}
	if m == nil {
		return s
	}
	return setOf(m)
}

// Get gives the resource of a name, or nil.
func (s *Set) Get(name string) *Resource { return s.byName[name] }

// Len gives the number of resources.
func (s *Set) Len() int { return len(s.names) }

// Version changes when any resource does; a hash, equal for equal sets.
func (s *Set) Version() string { return s.version }

// Bytes gives the size of all resources on the wire.
func (s *Set) Bytes() int { return s.bytes }

// All gives the resources by name.
func (s *Set) All() iter.Seq[*Resource] {
	return func(yield func(*Resource) bool) {
		for _, n := range s.names {
			if !yield(s.byName[n]) {
				return
			}
		}
	}
}

// Since tells what changed since a former set, which may be another view's. It is computed once
// for all streams that ask.
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
	for _, n := range s.names {
		if r, was := s.byName[n], old.byName[n]; was == nil || was.Version != r.Version {
			d.Changed = append(d.Changed, r)
		}
	}
	for _, n := range old.names {
		if s.byName[n] == nil {
			d.Removed = append(d.Removed, old.byName[n])
		}
	}
	if s.diffs == nil || len(s.diffs) >= maxDiffs {
		s.diffs = map[uint64]Diff{}
	}
	s.diffs[old.id] = d
	return d
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
