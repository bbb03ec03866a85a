package xds

import (
	"iter"
	"maps"
	"slices"
)

// smallMap is a map by name that is mostly empty or small, and then a list that keeps its room for the next
// change. Of a large one nothing is kept once it is empty.
type smallMap[V any] struct {
	few  []named[V]
	many map[string]V // all of them, where there were more than fewNames; else nil
}

type named[V any] struct {
	name  string
	value V
}

// fewNames is up to when looking through a list is cheap. A change seldom has more, and those of a storm that come
// while an acknowledgement is awaited are about as many.
const fewNames = 32

func (f *smallMap[V]) get(name string) (V, bool) {
	if f.many != nil {
		v, ok := f.many[name]
		return v, ok
	}
	if i := f.at(name); i >= 0 {
		return f.few[i].value, true
	}
	var none V
	return none, false
}

// at gives a name's place in the list, -1 for none.
func (f *smallMap[V]) at(name string) int {
	for i := range f.few {
		if f.few[i].name == name {
			return i
		}
	}
	return -1
}

func (f *smallMap[V]) put(name string, v V) {
	if f.many != nil {
		f.many[name] = v
		return
	}
	if i := f.at(name); i >= 0 {
		f.few[i].value = v
		return
	}
	if len(f.few) < fewNames {
		f.few = append(f.few, named[V]{name, v})
		return
	}
	f.many = make(map[string]V, 2*fewNames)
	for _, e := range f.few {
		f.many[e.name] = e.value
	}
	f.many[name] = v
	f.few = nil
}

func (f *smallMap[V]) drop(name string) {
	if f.many != nil {
		if delete(f.many, name); len(f.many) == 0 {
			*f = smallMap[V]{}
		}
		return
	}
	if i := f.at(name); i >= 0 {
		last := len(f.few) - 1
		f.few[i], f.few[last] = f.few[last], named[V]{}
		f.few = f.few[:last]
	}
}

func (f *smallMap[V]) len() int { return len(f.few) + len(f.many) }

// all walks through the names in no particular order. The one that it gives may be dropped meanwhile.
func (f *smallMap[V]) all() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, e := range slices.Backward(f.few) { // drop moves the last, which has been given, into the place of another
			if !yield(e.name, e.value) {
				return
			}
		}
		for name, v := range f.many {
			if !yield(name, v) {
				return
			}
		}
	}
}

// sorted gives the names in order.
func (f *smallMap[V]) sorted() []string {
	out := slices.AppendSeq(make([]string, 0, f.len()), maps.Keys(f.many))
	for _, e := range f.few {
		out = append(out, e.name)
	}
	slices.Sort(out)
	return out
}

// take gives all and is empty afterwards.
func (f *smallMap[V]) take() smallMap[V] {
	taken := *f
	*f = smallMap[V]{}
	return taken
}
