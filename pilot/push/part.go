package push

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// part is what all classes with equal outbound parts send: the clusters and load assignments of
// services, the listeners and routes to them, the name table. It is made of units, and a unit is
// computed again only when a host that it read has other rows.
type part struct {
	class   resolve.Class
	encoder *encoder

	layout    *resolve.Layout
	clusters  map[string]*clusterUnit  // by service's hostname
	listeners map[string]*listenerUnit // by name
	routes    map[string]*routeUnit    // by name
	// readers finds the units that read a host's rows; clusters read their own service's only.
	readers map[string][]unit

	sets     [NumTypes]*Set
	problems map[any][]model.Problem // by unit, only of those that have any
	reported []model.Problem         // the same in order, each once; replaced, never changed
	local    []*ir.Cluster           // those whose assignments depend on the proxy's locality

	// Of the last update:
	changed, localChanged bool
	computed              int
}

// unit is a listener, a virtual host or the other hosts of a route configuration.
type unit interface {
	// compute makes the unit again and gives the hosts that it read.
	compute(p *part, r resolve.Reader) (read []string)
	// former gives the hosts that it read the last time.
	former() *[]string
}

// changes gathers what an update puts into the sets, by name; nil removes.
type changes [NumTypes]map[string]*Resource

func newPart(c resolve.Class, e *encoder) *part {
	p := &part{class: c, encoder: e}
	for t := range p.sets {
		p.sets[t] = NewSet()
	}
	return p
}

// clear forgets all units, so that each is computed again. What they gave stays until then.
func (p *part) clear() {
	p.layout, p.local, p.localChanged = nil, nil, true
	p.clusters, p.listeners, p.routes = map[string]*clusterUnit{}, map[string]*listenerUnit{}, map[string]*routeUnit{}
	p.readers, p.problems = map[string][]unit{}, map[any][]model.Problem{}
}

// update brings the part up to a snapshot that differs by a delta from the former one.
func (p *part) update(r resolve.Reader, d *store.Delta) {
	p.changed, p.localChanged, p.computed = false, false, 0
	_, scoped := d.Sidecars[p.class.Sidecar]
	all := p.layout == nil || d.All || scoped
	lists := all || d.Lists.Has(p.class.Namespace)
	dirty := map[string]struct{}{}
	for host, readers := range d.Hosts {
		if readers.Has(p.class.Namespace) {
			dirty[host] = struct{}{}
		}
	}
	if !lists && len(dirty) == 0 && len(d.Endpoints) == 0 {
		return
	}
	var out changes
	for t := range out {
		out[t] = map[string]*Resource{}
	}
	if all {
		p.clear()
		for t, set := range p.sets {
			for res := range set.All() {
				out[t][res.Name] = nil // unless it comes again
			}
		}
	}
	again := map[unit]struct{}{}
	if lists {
		p.lay(r, dirty, again, out)
	}
	for host := range dirty {
		if c := p.clusters[host]; c != nil {
			p.computeClusters(r, c, out)
		}
		for _, u := range p.readers[host] {
			again[u] = struct{}{}
		}
	}
	p.assign(r, d, dirty, out)
	for u := range again {
		p.computeUnit(r, u)
	}
	p.collect(again, out)
	p.publish(out)
	p.list()
}

// list puts the units' problems in order.
func (p *part) list() {
	var all []model.Problem
	for _, problems := range p.problems {
		all = append(all, problems...)
	}
	slices.SortFunc(all, model.CompareProblems)
	all = slices.Compact(all)
	if !slices.Equal(all, p.reported) {
		p.reported, p.changed = all, true
	}
}

// lay makes the layout again, drops the units that it has no more, and marks those that are new
// or made of something else.
func (p *part) lay(r resolve.Reader, dirty map[string]struct{}, again map[unit]struct{}, out changes) {
	old := p.layout
	p.layout = resolve.NewLayout(r, &p.class)
	p.report("layout", p.layout.Problems)
	before := &resolve.EgressScope{}
	if old != nil {
		before = old.Scope
	}
	changed := p.layout.Scope.ChangedHosts(before)
	for _, host := range changed {
		dirty[host] = struct{}{}
		svc := p.layout.Scope.Service(host)
		switch c := p.clusters[host]; {
		case svc == nil && c != nil:
			p.dropClusters(c, out)
			delete(p.clusters, host)
		case svc != nil && c == nil:
			p.clusters[host] = &clusterUnit{host: host}
		}
	}
	p.layListeners(old, again, out)
	p.layRoutes(len(changed) > 0, again, out)
	if p.class.DNSCapture {
		p.computed++
		if table, err := p.encoder.nameTable(resolve.NameTable(r, &p.class)); err == nil {
			out[NameTables][NameTableName] = table
		}
	}
}

// computeUnit makes a unit again and keeps the index of what it read.
func (p *part) computeUnit(r resolve.Reader, u unit) {
	p.computed++
	read := u.compute(p, r)
	slices.Sort(read)
	read = slices.Compact(read)
	former := u.former()
	if slices.Equal(read, *former) {
		return
	}
	p.unread(u)
	for _, host := range read {
		p.readers[host] = append(p.readers[host], u)
	}
	*former = slices.Clip(read)
}

// unread takes a unit out of the index.
func (p *part) unread(u unit) {
	for _, host := range *u.former() {
		rest := slices.DeleteFunc(p.readers[host], func(o unit) bool { return o == u })
		if p.readers[host] = rest; len(rest) == 0 {
			delete(p.readers, host)
		}
	}
	*u.former() = nil
}

// forget drops a unit.
func (p *part) forget(u unit) {
	p.unread(u)
	delete(p.problems, u)
}

func (p *part) report(of any, problems []model.Problem) {
	if len(problems) == 0 {
		delete(p.problems, of)
		return
	}
	p.problems[of] = problems
}

// publish puts the changes into the sets.
func (p *part) publish(out changes) {
	for t, byName := range out {
		list := make([]entry, 0, len(byName))
		for name, res := range byName {
			list = append(list, entry{name, res})
		}
		slices.SortFunc(list, compareEntries)
		next := p.encoder.sets[t].with(p.sets[t], list)
		p.changed = p.changed || next != p.sets[t]
		p.sets[t] = next
	}
}

// serves gives what is served for a unit that came out forbidden: its former version, if any.
func (p *part) serves(t Type, name string, r *Resource, err error, of any) *Resource {
	if err == nil {
		return r
	}
	p.problems[of] = append(slices.Clip(p.problems[of]), forbidden(t, name, err))
	return p.sets[t].Get(name)
}

// units counts what the part is made of.
func (p *part) units() int {
	n := len(p.clusters) + len(p.listeners)
	for _, u := range p.routes {
		n += len(u.order)
	}
	return n
}
