package build

import (
	"reflect"
	"sync"
	"weak"
)

// memo keeps what was encoded from values of package ir, so that parts of views which come out
// equal are translated, checked and marshalled once for the whole mesh. A value is the whole
// input of its encoding, so no key can miss a part of it. Outputs are held weakly.
type memo[T any] struct {
	mu      sync.Mutex
	rows    map[memoKey][]variant[T]
	entries int
	sweepAt int // number of entries at which the dead ones are dropped
}

// minSweep is the number of entries below which dead ones are not worth a search.
const minSweep = 1024

// memoKey narrows the search for an equal value; it decides nothing.
type memoKey struct{ name, variant string }

type variant[T any] struct {
	value  any
	output weak.Pointer[T]
}

func newMemo[T any]() *memo[T] {
	return &memo[T]{rows: map[memoKey][]variant[T]{}, sweepAt: minSweep}
}

// get gives the output of a value, by encode where none is in use, and the equal value that it was
// made from. Nobody may change the value afterwards.
func (m *memo[T]) get(key memoKey, value any, encode func() (*T, error)) (*T, any, error) {
	m.mu.Lock()
	known := m.rows[key]
	m.mu.Unlock()
	for _, v := range known { // never changed in place
		if out := v.output.Value(); out != nil && reflect.DeepEqual(v.value, value) {
			return out, v.value, nil
		}
	}
	out, err := encode()
	if err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	row := make([]variant[T], 0, len(m.rows[key])+1)
	for _, v := range m.rows[key] {
		if v.output.Value() != nil {
			row = append(row, v)
		}
	}
	m.entries += len(row) + 1 - len(m.rows[key])
	m.rows[key] = append(row, variant[T]{value, weak.Make(out)})
	if m.entries > m.sweepAt {
		m.sweep()
	}
	return out, value, nil
}

// sweep drops dead entries; it runs when their number may have doubled.
func (m *memo[T]) sweep() {
	m.entries = 0
	for key, row := range m.rows {
		var live []variant[T]
		for _, v := range row {
			if v.output.Value() != nil {
				live = append(live, v)
			}
		}
		if m.entries += len(live); len(live) == 0 {
			delete(m.rows, key)
		} else {
			m.rows[key] = live
		}
	}
	m.sweepAt = max(minSweep, 2*m.entries)
}
