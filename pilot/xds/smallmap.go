package xds

import (
	"iter"
	"slices"
)

// smallMap is a map by name that is mostly empty or small. It keeps its memory for the next change, but
// gives it back when it was large.
type smallMap[V any] struct {
	m     map[string]V
	n     int32 // names: most maps are empty, which is seen here without a look at memory elsewhere
	large bool
}

// manyNames is from when on a map is large.
const manyNames = 32

func (f *smallMap[V]) get(name string) (V, bool) {
	if f.n == 0 {
		var none V
		return none, false
	}
	v, ok := f.m[name]
	return v, ok
}

func (f *smallMap[V]) put(name string, v V) {
	if f.m == nil {
		f.m = map[string]V{}
	}
	f.m[name] = v
	f.n = int32(len(f.m))
	f.large = f.large || f.n > manyNames
}

func (f *smallMap[V]) drop(name string) {
	if f.n == 0 {
		return
	}
	delete(f.m, name)
	if f.n = int32(len(f.m)); f.large && f.n == 0 {
		*f = smallMap[V]{}
	}
}

func (f *smallMap[V]) len() int { return int(f.n) }

// names walks through the names in no particular order; they may be dropped meanwhile.
func (f *smallMap[V]) names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for name := range f.m {
			if !yield(name) {
				return
			}
		}
	}
}

// sorted gives the names in order.
func (f *smallMap[V]) sorted() []string {
	out := slices.AppendSeq(make([]string, 0, f.n), f.names())
	slices.Sort(out)
	return out
}

// take gives all and is empty afterwards.
func (f *smallMap[V]) take() map[string]V {
	m := f.m
	*f = smallMap[V]{}
	return m
}
