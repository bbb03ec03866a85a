package push

import (
	"slices"
	"strings"
	"sync"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// product is what classes with equal outbound parts send: the clusters and load assignments of
// services, the listeners and routes to them, the name table. Builders keep it up to date.
type product struct {
	class   resolve.Class
	encoder *encoder

	layout   *resolve.Layout // nil before the first update
	sets     [NumTypes]*Set
	problems []model.Problem            // in order, each once; replaced, never changed
	reports  map[unitID][]model.Problem // by unit, of those that have any; the layout's under none
	// local are clusters whose load assignments depend on the proxy's locality, which sets has
	// not; replaced, never changed.
	local []*ir.Cluster

	// Of the last update:
	changed   bool
	relocated bool // load assignments that depend on locality may differ
	noted     bool // reports changed
	computed  int  // units

	mu        sync.Mutex // guards localised while classes are translated concurrently
	localised map[model.Locality]*localised
}

// localised are the load assignments for a locality.
type localised struct {
	over []entry // of local clusters
	set  *Set    // all of them; nil if it is to be made again
}

// builder brings a product up to a snapshot that differs by a delta from the former one.
type builder interface {
	update(s *store.Snapshot, d *store.Delta)
	// result gives the product, which belongs to the builder.
	result() *product
	// endpoints gives the load assignments for a class of the product with a locality.
	endpoints(r resolve.Reader, c *resolve.Class) *Set
	// units counts what the product is made of and shares with no other.
	units() int
}

func (p *product) init(c resolve.Class, e *encoder) {
	p.class, p.encoder, p.reports = c, e, map[unitID][]model.Problem{}
	for t := range p.sets {
		p.sets[t] = e.empty
	}
}

func (p *product) result() *product { return p }

// begin starts an update.
func (p *product) begin() { p.changed, p.relocated, p.noted, p.computed = false, false, false, 0 }

// concerns gives the hosts of a delta that have other rows for the product's namespace.
func (p *product) concerns(d *store.Delta) map[string]struct{} {
	out := map[string]struct{}{}
	for host, readers := range d.Hosts {
		if readers.Has(p.class.Namespace) {
			out[host] = struct{}{}
		}
	}
	return out
}

// publish replaces the set of a type.
func (p *product) publish(t Type, next *Set) {
	if next == p.sets[t] {
		return
	}
	p.sets[t], p.changed = next, true
	if t == Endpoints {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, l := range p.localised {
			l.set = nil
		}
	}
}

// setLocal replaces the local clusters.
func (p *product) setLocal(local []*ir.Cluster) {
	if !slices.Equal(p.local, local) {
		p.local = local
		p.delocalise()
	}
}

// delocalise forgets the load assignments that depend on locality.
func (p *product) delocalise() {
	p.changed, p.relocated = true, true
	p.mu.Lock()
	defer p.mu.Unlock()
	p.localised = nil
}

// report replaces the problems of a unit.
func (p *product) report(of unitID, problems []model.Problem) {
	if len(problems)+len(p.reports[of]) == 0 {
		return
	}
	p.noted = true
	if len(problems) == 0 {
		delete(p.reports, of)
	} else {
		p.reports[of] = problems
	}
}

// setProblems puts the problems in order. Where shared says the same, its list is taken.
func (p *product) setProblems(all, shared []model.Problem) {
	slices.SortFunc(all, model.CompareProblems)
	all = slices.Compact(all)
	if slices.Equal(all, shared) {
		all = shared
	}
	if !slices.Equal(all, p.problems) {
		p.problems, p.changed = all, true
	}
}

// serves gives what is served for a resource that came out forbidden: its former version, if any.
func (p *product) serves(t Type, name string, r *Resource, err error, problems *[]model.Problem) *Resource {
	if err == nil {
		return r
	}
	*problems = append(slices.Clip(*problems), forbidden(t, name, err))
	return p.sets[t].Get(name)
}

// endpoints gives the load assignments for a class of the product with a locality.
func (p *product) endpoints(r resolve.Reader, c *resolve.Class) *Set {
	if len(p.local) == 0 {
		return p.sets[Endpoints]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.localised[c.Locality]
	if l == nil {
		if p.localised == nil {
			p.localised = map[model.Locality]*localised{}
		}
		l = &localised{over: p.localEntries(r, c)}
		p.localised[c.Locality] = l
	}
	if l.set == nil {
		l.set = p.encoder.sets[Endpoints].cover(p.sets[Endpoints], l.over)
	}
	return l.set
}

// localEntries gives the load assignments that depend on a class's locality, by name.
func (p *product) localEntries(r resolve.Reader, c *resolve.Class) []entry {
	list := make([]entry, 0, len(p.local))
	for _, cl := range p.local {
		if res, err := p.encoder.assignment(r, c, cl); err == nil {
			list = append(list, entry{cl.Name, res})
		}
	}
	slices.SortFunc(list, compareEntries)
	return list
}

// isLocal tells whether a cluster's load assignment depends on where the proxy is.
func isLocal(cl *ir.Cluster) bool {
	if !assigned(cl) {
		return false
	}
	p := cl.Endpoints.Locality
	return p.Failover || len(p.Distribute) > 0
}

// localOf gives the local clusters of units, by name.
func localOf(units map[string]*clusterUnit) []*ir.Cluster {
	var out []*ir.Cluster
	for _, u := range units {
		for _, cl := range u.clusters {
			if isLocal(cl) {
				out = append(out, cl)
			}
		}
	}
	slices.SortFunc(out, func(a, b *ir.Cluster) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// assigned tells whether a cluster has a load assignment.
func assigned(cl *ir.Cluster) bool { return cl.Discovery == ir.DiscoveryEDS && cl.Endpoints != nil }
