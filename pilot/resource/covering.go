package resource

import "slices"

// Covering covers a base that changes with many entries of which few do: it looks at what has changed
// only. The zero value is ready.
type Covering struct {
	base *Set
	over []Entry
	totals
}

// Cover gives what Pool.Cover gives of the same base and entries.
func (c *Covering) Cover(p *Pool, t Type, base *Set, over []Entry) *Set {
	switch {
	case c.base == nil || !slices.EqualFunc(c.over, over, func(a, b Entry) bool { return a.Name == b.Name }):
		c.totals = base.after(over)
	default:
		c.rebase(base)
		for i, e := range over {
			if former := c.over[i].Resource; former != e.Resource {
				c.count(former, -1)
				c.count(e.Resource, 1)
			}
		}
	}
	c.base = base
	if !slices.Equal(c.over, over) {
		c.over = over // else sets share the list, and differ in their bases alone
	}
	return p.covered(t, base, c.over, c.totals)
}

// rebase counts what of another base is not hidden.
func (c *Covering) rebase(base *Set) {
	d := base.Since(c.base)
	for i, r := range d.Changed {
		if !hides(c.over, r.Name) {
			c.count(d.Former[i], -1)
			c.count(r, 1)
		}
	}
	for _, r := range d.Removed {
		if !hides(c.over, r.Name) {
			c.count(r, -1)
		}
	}
}

// hides tells whether one of some entries stands over what a base has under a name.
func hides(over []Entry, name string) bool {
	_, found := slices.BinarySearchFunc(over, Entry{Name: name}, CompareEntries)
	return found
}
