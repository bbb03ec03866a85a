package push

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

// resourcePool keeps one copy of equal resources for all views.
type resourcePool struct{ *pool[resourceKey, Resource] }

// one gives the resource with the same bytes that is in use already, else r itself.
func (p resourcePool) one(r *Resource) *Resource {
	return p.intern(resourceKey{r.Type, r.Name, r.Version}, r.sameBytes, func() *Resource { return r })
}

// setPool keeps one copy of equal sets of one type, for parts and for views: parts of a mesh without
// scopes have the same clusters and load assignments, so a change of them copies one set.
type setPool struct{ *pool[totals, Set] }

// with gives s with some entries replaced, where nil removes, or s itself where nothing changes.
// changes are sorted by name.
func (p setPool) with(s *Set, changes []entry) *Set {
	changes = slices.DeleteFunc(changes, func(e entry) bool { return s.Get(e.name) == e.r })
	if len(changes) == 0 {
		return s
	}
	return p.intern(s.after(changes), always, func() *Set { return s.with(changes) })
}

// cover gives a set of the base s with sorted entries over it, which nobody may change afterwards,
// or s itself where they change nothing.
func (p setPool) cover(s *Set, over []entry) *Set {
	key := s.after(over)
	if key == s.totals {
		return s
	}
	return p.intern(key, always, func() *Set { return s.cover(over) })
}

// pools keep one copy of all that is equal.
type pools struct {
	resources resourcePool
	sets      [NumTypes]setPool
	empty     *Set
}

func newPools() *pools {
	p := &pools{resources: resourcePool{newPool[resourceKey, Resource]()}, empty: NewSet()}
	for t := range p.sets {
		p.sets[t] = setPool{newPool[totals, Set]()}
	}
	return p
}
