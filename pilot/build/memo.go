package build

import (
	"sync"
	"weak"
)

// memo keeps what was encoded from values of package ir, so that parts of views which come out
// equal are translated, checked and marshalled once for the whole mesh. A value is the whole
// input of its encoding, so no key can miss a part of it. It is known by its digest and not kept,
// and outputs are held weakly, so that nothing lives longer than those who use it.
type memo[T any] struct {
	mu      sync.Mutex
	outputs map[digest]weak.Pointer[T]
	sweepAt int // number of entries at which the dead ones are dropped
}

// minSweep is the number of entries below which dead ones are not worth a search.
const minSweep = 1024

func newMemo[T any]() *memo[T] {
	return &memo[T]{outputs: map[digest]weak.Pointer[T]{}, sweepAt: minSweep}
}

// get gives the output of the value of a digest, by encode where none is in use.
func (m *memo[T]) get(key digest, encode func() (*T, error)) (*T, error) {
	m.mu.Lock()
	known := m.outputs[key].Value()
	m.mu.Unlock()
	if known != nil {
		return known, nil
	}
	out, err := encode()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.outputs[key].Value(); known != nil {
		return known, nil // another goroutine was first
	}
	m.outputs[key] = weak.Make(out)
	if len(m.outputs) > m.sweepAt {
		m.sweep()
	}
	return out, nil
}

// sweep drops dead entries; it runs when their number may have doubled.
func (m *memo[T]) sweep() {
	for key, out := range m.outputs {
		if out.Value() == nil {
			delete(m.outputs, key)
		}
	}
	m.sweepAt = max(minSweep, 2*len(m.outputs))
}
