package build

import "github.com/pilothouse-mesh/pilothouse/pilot/resource"

// memo keeps what was encoded from values of package ir, so that parts of views which come out
// equal are translated, checked and marshalled once for the whole mesh. A value is the whole
// input of its encoding, so no key can miss a part of it. It is known by its digest and not kept,
// and outputs are held weakly, so that nothing lives longer than those who use it.
type memo[T any] struct{ resource.Weak[digest, T] }

// get gives the output of the value of a digest, by encode where none is in use.
func (m *memo[T]) get(key digest, encode func() (*T, error)) (*T, error) {
	if known := m.Get(key); known != nil {
		return known, nil
	}
	out, err := encode()
	if err != nil {
		return nil, err
	}
	return m.Intern(key, nil, func() *T { return out }), nil // another goroutine may have been first
}
