package resource

import (
	"hash/maphash"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
)

// Names is an immutable set of names, one object for all subscriptions that are equal. nil is the
// empty set.
type Names struct {
	id   uint64 // unique in the process, for remembering what sets have of it
	key  namesKey
	list []string // sorted
}

// namesKey tells sets of names apart. The sum is of hashes with a secret seed: nobody can make two
// sets that agree in it, and by chance one pair in 2^64 does.
type namesKey struct {
	sum    uint64 // does not depend on the order
	length int
}

var lastNames atomic.Uint64

func (n *Names) names() []string {
	if n == nil {
		return nil
	}
	return n.list
}

// Len gives the number of names.
func (n *Names) Len() int { return len(n.names()) }

// Has tells whether a name is in the set.
func (n *Names) Has(name string) bool { return has(n.names(), name) }

// All gives the names in their order.
func (n *Names) All() iter.Seq[string] { return slices.Values(n.names()) }

// Compare gives the names that only next has and those that only n has.
func (n *Names) Compare(next *Names) (added, gone []string) {
	if n == next {
		return nil, nil
	}
	return next.without(n), n.without(next)
}

// without gives the names that another set has not.
func (n *Names) without(o *Names) []string {
	var out []string
	for _, name := range n.names() {
		if !o.Has(name) {
			out = append(out, name)
		}
	}
	return out
}

// NamesPool keeps one copy of equal sets of names. It holds them weakly: a set lives as long as a
// subscription has it.
type NamesPool struct {
	seed maphash.Seed
	pool Weak[namesKey, Names]
}

// NewNamesPool gives an empty pool.
func NewNamesPool() *NamesPool { return &NamesPool{seed: maphash.MakeSeed()} }

// Of gives the set of names. Where it is in use already that takes no memory.
func (p *NamesPool) Of(names iter.Seq[[]byte]) *Names {
	var key namesKey
	bytes := 0
	for name := range names {
		key.sum += maphash.Bytes(p.seed, name)
		key.length++
		bytes += len(name)
	}
	if key.length == 0 {
		return nil
	}
	if known := p.pool.Get(key); known != nil {
		return known
	}
	var all strings.Builder // one allocation for all names
	all.Grow(bytes)
	list := make([]string, 0, key.length)
	for name := range names {
		start := all.Len()
		all.Write(name)
		list = append(list, all.String()[start:])
	}
	slices.Sort(list)
	list = slices.Compact(list)
	key = namesKey{length: len(list)} // some may have stood twice
	for _, name := range list {
		key.sum += maphash.String(p.seed, name)
	}
	return p.intern(key, func() []string { return list })
}

// Change gives the set n with some names more and some less; a name that is in both stays away.
func (p *NamesPool) Change(n *Names, added, gone []string) *Names {
	gone = sorted(gone)
	more := slices.DeleteFunc(sorted(added), func(name string) bool { return n.Has(name) || has(gone, name) })
	less := slices.DeleteFunc(gone, func(name string) bool { return !n.Has(name) })
	if len(more)+len(less) == 0 {
		return n
	}
	key := namesKey{length: n.Len() + len(more) - len(less)}
	if key.length == 0 {
		return nil
	}
	if n != nil {
		key.sum = n.key.sum
	}
	for _, name := range more {
		key.sum += maphash.String(p.seed, name)
	}
	for _, name := range less {
		key.sum -= maphash.String(p.seed, name)
	}
	return p.intern(key, func() []string {
		list := slices.Grow(slices.DeleteFunc(slices.Clone(n.names()), func(name string) bool { return has(less, name) }), len(more))
		for _, name := range more {
			list = append(list, strings.Clone(name)) // it may be a part of something large
		}
		slices.Sort(list)
		return list
	})
}

// sorted gives a sorted copy in which each name stands once.
func sorted(names []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

func has(sorted []string, name string) bool {
	_, found := slices.BinarySearch(sorted, name)
	return found
}

// intern gives the set of a key that is in use, else one of the sorted list that is made, in which each name stands once.
func (p *NamesPool) intern(key namesKey, list func() []string) *Names {
	return p.pool.Intern(key, nil, func() *Names { return &Names{id: lastNames.Add(1), key: key, list: list()} })
}
