package resource

import "slices"

type resourceKey struct {
	typ           Type
	name, version string
}

// Pool keeps one copy of equal resources and of equal sets, for all who make them. It holds them
// weakly. What is of a private type it does not keep.
type Pool struct {
	resources Weak[resourceKey, Resource]
	sets      [NumTypes]Weak[totals, Set]
	empty     *Set
}

// NewPool gives an empty pool.
func NewPool() *Pool { return &Pool{empty: NewSet()} }

// Empty gives the set that has nothing.
func (p *Pool) Empty() *Set { return p.empty }

// One gives the resource with the same bytes that is in use already, else r itself.
func (p *Pool) One(r *Resource) *Resource {
	if r.Type.Private() {
		return r
	}
	return p.resources.Intern(resourceKey{r.Type, r.Name, r.Version}, r.sameBytes, func() *Resource { return r })
}

// With gives a set of its own, with some entries of s replaced, where nil removes, or s itself where
// nothing changes. changes are sorted by name.
func (p *Pool) With(t Type, s *Set, changes []Entry) *Set {
	changes = slices.DeleteFunc(changes, func(e Entry) bool { return s.Get(e.Name) == e.Resource })
	if len(changes) == 0 {
		return s
	}
	if t.Private() {
		return s.with(changes)
	}
	return p.sets[t].Intern(s.after(changes), nil, func() *Set { return s.with(changes) })
}

// Cover gives a set of the base s with sorted entries over it, which nobody may change afterwards,
// or s itself where they change nothing.
func (p *Pool) Cover(t Type, s *Set, over []Entry) *Set {
	return p.covered(t, s, over, s.after(over))
}

// covered is Cover where it is known what comes out.
func (p *Pool) covered(t Type, s *Set, over []Entry, key totals) *Set {
	if key == s.totals {
		return s
	}
	if t.Private() {
		return newSet(s, over, key)
	}
	return p.sets[t].Intern(key, nil, func() *Set { return newSet(s, over, key) })
}

// Same tells whether two sets have the same resources.
func (s *Set) Same(o *Set) bool { return s.totals == o.totals }
