package resource

import (
	"slices"
	"sync"
	"weak"
)

// pool keeps one copy of equal values, found by what tells them apart. It holds them weakly: a value
// lives as long as somebody uses it.
type pool[K comparable, V any] struct {
	mu      sync.Mutex
	entries map[K]weak.Pointer[V]
	sweepAt int // number of entries at which the dead ones are dropped
}

const minSweep = 1024

func newPool[K comparable, V any]() *pool[K, V] {
	return &pool[K, V]{entries: map[K]weak.Pointer[V]{}, sweepAt: minSweep}
}

// get gives the value that is in use, or nil.
func (p *pool[K, V]) get(key K) *V {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.entries[key].Value()
}

// intern gives the value that is in use if it is the same, else the one that is made.
func (p *pool[K, V]) intern(key K, same func(*V) bool, make func() *V) *V {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.entries[key].Value(); known != nil && same(known) {
		return known
	}
	made := make()
	p.entries[key] = weak.Make(made)
	if len(p.entries) > p.sweepAt {
		p.sweep()
	}
	return made
}

// sweep drops dead entries; it runs when their number may have doubled, so its cost is a constant
// for each new entry.
func (p *pool[K, V]) sweep() {
	for k, w := range p.entries {
		if w.Value() == nil {
			delete(p.entries, k)
		}
	}
	p.sweepAt = max(minSweep, 2*len(p.entries))
}

// always is for keys that say everything.
func always[V any](*V) bool { return true }

type resourceKey struct {
	typ           Type
	name, version string
}

// Pool keeps one copy of equal resources and of equal sets, for all who make them. It holds them
// weakly. What is of a private type it does not keep.
type Pool struct {
	resources *pool[resourceKey, Resource]
	sets      [NumTypes]*pool[totals, Set]
	empty     *Set
}

// NewPool gives an empty pool.
func NewPool() *Pool {
	p := &Pool{resources: newPool[resourceKey, Resource](), empty: NewSet()}
	for t := range p.sets {
		p.sets[t] = newPool[totals, Set]()
	}
	return p
}

// Empty gives the set that has nothing.
func (p *Pool) Empty() *Set { return p.empty }

// One gives the resource with the same bytes that is in use already, else r itself.
func (p *Pool) One(r *Resource) *Resource {
	if r.Type.Private() {
		return r
	}
	return p.resources.intern(resourceKey{r.Type, r.Name, r.Version}, r.sameBytes, func() *Resource { return r })
}

// With gives a set of its own, with some entries of s replaced, where nil removes, or s itself where
// nothing changes. changes are sorted by name.
func (p *Pool) With(t Type, s *Set, changes []Entry) *Set {
	changes = slices.DeleteFunc(changes, func(e Entry) bool { return s.Get(e.Name) == e.Resource })
	if len(changes) == 0 {
		return s
	}
	if t.Private() {
		return s.with(changes)
	}
	return p.sets[t].intern(s.after(changes), always, func() *Set { return s.with(changes) })
}

// Cover gives a set of the base s with sorted entries over it, which nobody may change afterwards,
// or s itself where they change nothing.
func (p *Pool) Cover(t Type, s *Set, over []Entry) *Set {
	return p.covered(t, s, over, s.after(over))
}

// covered is Cover where it is known what comes out.
func (p *Pool) covered(t Type, s *Set, over []Entry, key totals) *Set {
	if key == s.totals {
		return s
	}
	if t.Private() {
		return newSet(s, over, key)
	}
	return p.sets[t].intern(key, always, func() *Set { return newSet(s, over, key) })
}

// Same tells whether two sets have the same resources.
func (s *Set) Same(o *Set) bool { return s.totals == o.totals }
