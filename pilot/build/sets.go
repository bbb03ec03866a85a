package build

import (
	"maps"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// byName are resources by name, where nil stands for one that is not there.
type byName map[string]*resource.Resource

func (m byName) entries() []resource.Entry {
	out := make([]resource.Entry, 0, len(m))
	for name, r := range m {
		out = append(out, resource.Entry{Name: name, Resource: r})
	}
	slices.SortFunc(out, resource.CompareEntries)
	return out
}

// cover is what a layer's units put into its sets: where no layer is below, changes of the sets
// themselves, else what stands over those of the layer below.
type cover struct {
	changes [resource.NumTypes]byName
	over    [resource.NumTypes][]resource.Entry // by name; nil hides
	stale   [resource.NumTypes]bool             // over is to be made again
	hidden  [resource.NumTypes][]string         // what the layer's outline has not and the layer below has
	beneath [resource.NumTypes]*resource.Set    // the sets of the layer below that the layer's were made of
}

// replaced notes that entries take the place of others.
func (c *cover) replaced(l *layer, t resource.Type, former, next []resource.Entry) {
	if slices.Equal(former, next) {
		return
	}
	l.renamed = l.renamed || !slices.EqualFunc(former, next, func(a, b resource.Entry) bool { return a.Name == b.Name })
	c.stale[t] = true
	if l.below != nil {
		return
	}
	if c.changes[t] == nil {
		c.changes[t] = byName{}
	}
	for _, e := range former {
		if _, again := c.changes[t][e.Name]; !again || c.changes[t][e.Name] == e.Resource {
			c.changes[t][e.Name] = nil
		}
	}
	for _, e := range next {
		c.changes[t][e.Name] = e.Resource
	}
}

// clear marks everything that the layer gives to go, unless it comes again.
func (c *cover) clear(l *layer) {
	for t := range c.stale {
		c.stale[t], c.hidden[t] = true, nil
		if l.below != nil {
			continue
		}
		c.changes[t] = byName{}
		for r := range l.sets[t].All() {
			c.changes[t][r.Name] = nil
		}
	}
}

// hide notes the units of the layer below that the layer's own outline has not. others tells that it has other
// units than before.
func (c *cover) hide(l *layer, gone []UnitID, others bool) {
	var hidden [resource.NumTypes][]string
	for _, id := range gone {
		if id.Kind == kindRouteHead {
			hidden[resource.Routes] = append(hidden[resource.Routes], id.Name)
		}
		if u := l.below.units[id]; u != nil {
			for _, e := range u.Resources {
				hidden[u.Type] = append(hidden[u.Type], e.Name)
			}
		}
	}
	for t := range hidden {
		slices.Sort(hidden[t]) // what is gone comes in no order
		c.stale[t] = c.stale[t] || others || !slices.Equal(hidden[t], c.hidden[t])
	}
	c.hidden = hidden
}

// publish makes the layer's sets and problems of what its units gave.
func (l *layer) publish() {
	pool := l.builder.encoder.pool
	if l.below == nil {
		for t, changes := range l.cover.changes {
			l.setTo(resource.Type(t), pool.With(resource.Type(t), l.sets[t], changes.entries()))
			l.cover.changes[t] = nil
		}
	}
	l.findLocal()
	if l.below != nil {
		for t := range l.sets {
			l.stack(resource.Type(t))
		}
	}
	if l.noted || l.varies() && (l.below.noted || l.cover.stale[resource.Clusters]) {
		l.setProblems()
	}
	l.cover.stale = [resource.NumTypes]bool{}
}

// stack puts the layer's own resources over those of the layer below.
func (l *layer) stack(t resource.Type) {
	c := &l.cover
	beneath := l.below.sets[t]
	if l.top && t == resource.Endpoints {
		beneath = l.below.endpoints(l.builder.snapshot.Reader(nil), &l.class)
	}
	again := c.stale[t] || l.below.renamed
	if again {
		c.over[t] = l.over(t)
	}
	if again || beneath != c.beneath[t] {
		c.beneath[t] = beneath
		l.setTo(t, l.builder.encoder.pool.Cover(t, beneath, c.over[t]))
	}
}

// over gives what stands over the set of the layer below: the own units' resources, and nothing in the
// place of what they replace.
func (l *layer) over(t resource.Type) []resource.Entry {
	out := byName{}
	for _, name := range l.cover.hidden[t] {
		out[name] = nil
	}
	own := byName{}
	for id, u := range l.units {
		if u.Type != t || id.Kind == kindVirtualHost {
			continue
		}
		if b := l.below.units[id]; b != nil {
			for _, e := range b.Resources {
				out[e.Name] = nil
			}
		}
		for _, e := range u.Resources {
			own[e.Name] = e.Resource
		}
	}
	if t == resource.Routes {
		for name, r := range l.routes {
			own[name] = r.given.Resources[0].Resource
		}
	}
	maps.Copy(out, own)
	return out.entries()
}

// setTo replaces the set of a type.
func (l *layer) setTo(t resource.Type, next *resource.Set) {
	if next == l.sets[t] || t.Private() && next.Same(l.sets[t]) { // private ones have no pool
		return
	}
	l.sets[t], l.changed = next, true
	if t == resource.Endpoints {
		l.restack()
	}
}

// report replaces the problems of a unit.
func (l *layer) report(of UnitID, problems []model.Problem) {
	if len(problems)+len(l.reports[of]) == 0 {
		return
	}
	l.noted = true
	if len(problems) == 0 {
		delete(l.reports, of)
	} else {
		l.reports[of] = problems
	}
}

// setProblems puts the problems of all units that count in order. Where the layer below says the same,
// its list is taken. Those of a class's own layer are without what is below it.
func (l *layer) setProblems() {
	var all, below []model.Problem
	if l.varies() {
		below = l.below.problems
		for id, problems := range l.below.reports {
			if !l.hides(id) {
				all = append(all, problems...)
			}
		}
	}
	for _, problems := range l.reports {
		all = append(all, problems...)
	}
	slices.SortFunc(all, model.CompareProblems)
	all = slices.Compact(all)
	if slices.Equal(all, below) {
		all = below
	}
	l.changed = l.changed || !slices.Equal(all, l.problems)
	l.problems, l.noted = all, true
}

// hides tells whether a unit of the layer below does not count.
func (l *layer) hides(id UnitID) bool {
	switch {
	case id.Kind == kindPlan:
		return !l.borrowed
	case id.Kind == kindRoutes:
		return l.routes[id.Name] != nil
	case l.units[id] != nil:
		return true
	}
	return !l.borrowed && !l.outline.Has(id)
}
