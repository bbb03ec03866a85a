package inject

import (
	"maps"
	"slices"
	"strings"
)

// A tree is what a template's result says: an object, a []any of trees, a string, a bool, an int64, a float64 or nil.
type (
	// object is a mapping. It is a list, since a map takes several times the room and the time, and there are a
	// hundred of them for each pod.
	object []member
	member struct {
		name  string
		value any
	}
)

// get gives what a mapping has under a name, nil for nothing.
func (o object) get(name string) any {
	for i := range o {
		if o[i].name == name {
			return o[i].value
		}
	}
	return nil
}

// has tells whether a mapping has a name.
func (o object) has(name string) bool {
	return slices.ContainsFunc(o, func(m member) bool { return m.name == name })
}

// treeOf gives the tree of values in maps.
func treeOf(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(object, 0, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			out = append(out, member{name, treeOf(v[name])})
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = treeOf(v[i])
		}
		return out
	}
	return v
}

// mapsOf gives the values of a tree in maps.
func mapsOf(tree any) any {
	switch tree := tree.(type) {
	case object:
		out := make(map[string]any, len(tree))
		for _, m := range tree {
			out[m.name] = mapsOf(m.value)
		}
		return out
	case []any:
		out := make([]any, len(tree))
		for i := range tree {
			out[i] = mapsOf(tree[i])
		}
		return out
	}
	return tree
}

// isPlain tells whether a tree is all meant as it stands when it is merged: nothing of it is null, which takes away, or
// says how it is to be merged.
func isPlain(tree any) bool {
	switch tree := tree.(type) {
	case nil:
		return false
	case object:
		for i := range tree {
			if strings.HasPrefix(tree[i].name, "$") || !isPlain(tree[i].value) {
				return false
			}
		}
	case []any:
		for _, item := range tree {
			if !isPlain(item) {
				return false
			}
		}
	}
	return true
}
