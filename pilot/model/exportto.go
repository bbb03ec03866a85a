package model

import "slices"

// Audience tells which namespaces see an object.
type Audience struct {
	Everyone   bool
	Namespaces []string // sorted; none where everyone sees it
}

// ExportTo reads an exportTo list: nothing and "*" mean everyone, then "~" means nobody, "." the
// object's own namespace. An empty list takes the mesh's default.
func ExportTo(list, byDefault []string, own string) Audience {
	if len(list) == 0 {
		list = byDefault
	}
	if len(list) == 0 || slices.Contains(list, "*") {
		return Audience{Everyone: true}
	}
	if slices.Contains(list, "~") {
		return Audience{}
	}
	namespaces := make([]string, 0, len(list))
	for _, ns := range list {
		if ns == "." {
			ns = own
		}
		namespaces = append(namespaces, ns)
	}
	slices.Sort(namespaces)
	return Audience{Namespaces: slices.Compact(namespaces)}
}

// Has tells whether a namespace sees the object.
func (a Audience) Has(namespace string) bool {
	if a.Everyone {
		return true
	}
	_, found := slices.BinarySearch(a.Namespaces, namespace)
	return found
}

// Only tells whether a namespace alone sees the object.
func (a Audience) Only(namespace string) bool {
	return len(a.Namespaces) == 1 && a.Namespaces[0] == namespace
}

// Rank orders objects of one host for a client that sees them: those of its own namespace that are not for
// everyone, before what is exported to it by name, and that before what everyone sees.
func (a Audience) Rank(own, client string) int {
	switch {
	case a.Everyone:
		return 2
	case own == client:
		return 0
	}
	return 1
}
