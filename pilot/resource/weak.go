package resource

import (
	"sync"
	"weak"
)

// Weak keeps one copy of equal values, found by what tells them apart. It holds them weakly: a value
// lives as long as somebody uses it. The zero value is empty.
type Weak[K comparable, V any] struct {
	mu      sync.Mutex
	entries map[K]weak.Pointer[V]
	sweepAt int // number of entries at which the dead ones are dropped
}

// minSweep is the number of entries below which dead ones are not worth a search.
const minSweep = 1024

// Get gives the value that is in use, or nil.
func (w *Weak[K, V]) Get(key K) *V {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.entries[key].Value()
}

// Intern gives the value that is in use if it is the same, else the one that is made. A nil same is for
// keys that say everything.
func (w *Weak[K, V]) Intern(key K, same func(*V) bool, make func() *V) *V {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known := w.entries[key].Value(); known != nil && (same == nil || same(known)) {
		return known
	}
	made := make()
	if w.entries == nil {
		w.entries, w.sweepAt = map[K]weak.Pointer[V]{}, minSweep
	}
	w.entries[key] = weak.Make(made)
	if len(w.entries) > w.sweepAt {
		w.sweep()
	}
	return made
}

// Len gives the number of values in use.
func (w *Weak[K, V]) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sweep()
	return len(w.entries)
}

// sweep drops dead entries; it runs when their number may have doubled, so its cost is a constant
// for each new entry.
func (w *Weak[K, V]) sweep() {
	for k, v := range w.entries {
		if v.Value() == nil {
			delete(w.entries, k)
		}
	}
	w.sweepAt = max(minSweep, 2*len(w.entries))
}
