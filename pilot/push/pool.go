package push

import (
	"bytes"
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
		if old := w.Value(); old != nil && bytes.Equal(old.frame, r.frame) {
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

// setPool keeps one copy of equal sets for all parts: parts of a mesh without scopes have the same
// clusters and load assignments, so a change of them copies one set.
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
	key := s.after(changes)
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.entries[key].Value(); known != nil {
		return known
	}
	next := s.with(changes)
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
