package push

import (
	"slices"
	"sync"
	"weak"
)

// pool keeps one copy of equal resources for all views. It holds them weakly: a resource lives as
// long as a view or a stream uses it.
type pool struct {
	mu      sync.Mutex
	entries map[poolKey]weak.Pointer[Resource]
	sweepAt int // number of entries at which the dead ones are dropped
}

type poolKey struct {
	typ           Type
	name, version string
}

const minSweep = 1024

func newPool() *pool {
	return &pool{entries: map[poolKey]weak.Pointer[Resource]{}, sweepAt: minSweep}
}

// intern gives the resource with the same bytes that is in use already, else r itself.
func (p *pool) intern(r *Resource) *Resource {
	key := poolKey{r.Type, r.Name, r.Version}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w, ok := p.entries[key]; ok {
		if old := w.Value(); old != nil && old.sameBytes(r) {
			return old
		}
	}
	p.entries[key] = weak.Make(r)
	if len(p.entries) > p.sweepAt {
		p.sweep()
	}
	return r
}

// sweep drops dead entries; it runs when their number may have doubled, so its cost is a constant
// for each new entry.
func (p *pool) sweep() {
	for k, w := range p.entries {
		if w.Value() == nil {
			delete(p.entries, k)
		}
	}
	p.sweepAt = max(minSweep, 2*len(p.entries))
}

// setPool keeps one copy of equal sets of one type, for parts and for views: parts of a mesh without
// scopes have the same clusters and load assignments, so a change of them copies one set.
type setPool struct {
	mu      sync.Mutex
	entries map[totals]weak.Pointer[Set]
	sweepAt int
}

// with gives s with some entries replaced, where nil removes, or s itself where nothing changes.
// changes are sorted by name.
func (p *setPool) with(s *Set, changes []entry) *Set {
	changes = slices.DeleteFunc(changes, func(e entry) bool { return s.Get(e.name) == e.r })
	if len(changes) == 0 {
		return s
	}
	return p.intern(s.after(changes), func() *Set { return s.with(changes) })
}

// cover gives a set of the base s with sorted entries over it, which nobody may change afterwards,
// or s itself where they change nothing.
func (p *setPool) cover(s *Set, over []entry) *Set {
	key := s.after(over)
	if key == s.totals {
		return s
	}
	return p.intern(key, func() *Set { return s.cover(over) })
}

// intern gives the set with the same resources that is in use already, else a new one.
func (p *setPool) intern(key totals, make func() *Set) *Set {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.entries[key].Value(); known != nil {
		return known
	}
	next := make()
	p.entries[key] = weak.Make(next)
	if len(p.entries) > p.sweepAt {
		for k, w := range p.entries {
			if w.Value() == nil {
				delete(p.entries, k)
			}
		}
		p.sweepAt = max(minSweep, 2*len(p.entries))
	}
	return next
}

// pools keep one copy of all that is equal.
type pools struct {
	resources *pool
	sets      [NumTypes]*setPool
	empty     *Set
}

func newPools() *pools {
	p := &pools{resources: newPool(), empty: NewSet()}
	for t := range p.sets {
		p.sets[t] = &setPool{entries: map[totals]weak.Pointer[Set]{}, sweepAt: minSweep}
	}
	return p
}
