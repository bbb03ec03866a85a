package push

import (
	"maps"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// part is a product with all of its units. One is computed again only when a host that it read
// has other rows.
type part struct {
	product

	clusters  map[string]*clusterUnit  // by service's hostname
	listeners map[string]*listenerUnit // by name
	routes    map[string]*routeUnit    // by name
	// readers finds the units that read a host's rows; clusters read their own service's only.
	readers map[string][]unitID
	index   int // how often readers changed

	before  [NumTypes]*Set // sets before the last update
	touched changes        // what an update puts into them, while it runs
}

// changes is what an update puts into sets, by name; nil removes.
type changes [NumTypes]map[string]*Resource

func newChanges() changes {
	var out changes
	for t := range out {
		out[t] = map[string]*Resource{}
	}
	return out
}

func newPart(c resolve.Class, e *encoder) *part {
	p := &part{}
	p.init(c, e)
	return p
}

// clear forgets all units, so that each is computed again. What they gave stays until then.
func (p *part) clear() {
	p.layout = nil
	p.index++
	p.clusters, p.listeners, p.routes = map[string]*clusterUnit{}, map[string]*listenerUnit{}, map[string]*routeUnit{}
	p.readers, p.reports, p.noted = map[string][]unitID{}, map[unitID][]model.Problem{}, true
	for t, set := range p.sets {
		for res := range set.All() {
			p.touched[t][res.Name] = nil // unless it comes again
		}
	}
	p.setLocal(nil)
}

func (p *part) update(s *store.Snapshot, d *store.Delta) {
	p.begin()
	p.before = p.sets
	_, scoped := d.Sidecars[p.class.Sidecar]
	all := p.layout == nil || d.All || scoped
	lists := all || d.Lists.Has(p.class.Namespace)
	dirty := p.concerns(d)
	if !lists && len(dirty) == 0 && len(d.Endpoints) == 0 {
		return
	}
	p.touched = newChanges()
	if all {
		p.clear()
	}
	m := maker{&p.product, s}
	again := map[unitID]struct{}{}
	if lists {
		p.lay(m, dirty, again)
	}
	p.computeClusters(m, d, dirty)
	for host := range dirty {
		for _, id := range p.readers[host] {
			again[id] = struct{}{}
		}
	}
	for id := range again {
		p.compute(m, id)
	}
	p.composeStale()
	for t, byName := range p.touched {
		p.publish(Type(t), p.encoder.sets[t].with(p.sets[t], sortedEntries(byName)))
	}
	p.touched = changes{}
	if p.noted {
		p.setProblems(slices.Concat(slices.Collect(maps.Values(p.reports))...), nil)
	}
}

func sortedEntries(byName map[string]*Resource) []entry {
	out := make([]entry, 0, len(byName))
	for name, res := range byName {
		out = append(out, entry{name, res})
	}
	slices.SortFunc(out, compareEntries)
	return out
}

// lay makes the layout again, drops the units that it has no more, and marks those that are new
// or made of something else.
func (p *part) lay(m maker, dirty map[string]struct{}, again map[unitID]struct{}) {
	old := p.layout
	p.layout = resolve.NewLayout(m.reader, &p.class)
	p.report(ofLayout, p.layout.Problems)
	before := &resolve.EgressScope{}
	if old != nil {
		before = old.Scope
	}
	changed := p.layout.Scope.ChangedHosts(before)
	for _, host := range changed {
		dirty[host] = struct{}{}
	}
	names := p.layout.Listeners()
	for _, name := range names {
		if old == nil || !p.layout.SameListener(old, name) {
			again[listenerOf(name)] = struct{}{}
		}
	}
	for name := range without(p.listeners, names) {
		p.forget(listenerOf(name))
		delete(p.listeners, name)
		p.touched[Listeners][name] = nil
	}
	p.layRoutes(len(changed) > 0, again)
	if p.class.DNSCapture {
		p.computed++
		if table, err := p.encoder.nameTable(resolve.NameTable(m.reader, &p.class)); err == nil {
			p.touched[NameTables][NameTableName] = table
		}
	}
}

// without gives the rows of a map that are not among names.
func without[V any](rows map[string]V, names []string) map[string]V {
	rest := maps.Clone(rows)
	for _, name := range names {
		delete(rest, name)
	}
	return rest
}

// computeClusters makes the clusters of the dirty hosts again, and the load assignments of those
// and of the services whose endpoints changed.
func (p *part) computeClusters(m maker, d *store.Delta, dirty map[string]struct{}) {
	moved := false
	for host := range dirty {
		if u := p.clusters[host]; u != nil {
			moved = moved || slices.ContainsFunc(u.clusters, isLocal)
			p.dropClusters(host, u)
		}
		if p.layout.Scope.Service(host) == nil {
			continue
		}
		u := m.clusters(host)
		p.clusters[host] = u
		for i, cl := range u.clusters {
			p.touched[Clusters][cl.Name] = u.resources[i]
		}
		m.assign(host, u, p.touched[Endpoints])
		moved = moved || slices.ContainsFunc(u.clusters, isLocal)
	}
	for host := range d.Endpoints {
		u := p.clusters[host]
		if _, done := dirty[host]; done || u == nil {
			continue
		}
		p.computed++
		m.assign(host, u, p.touched[Endpoints])
		if slices.ContainsFunc(u.clusters, isLocal) {
			p.delocalise()
		}
	}
	if moved {
		p.delocalise()
		p.setLocal(localOf(p.clusters))
	}
}

// dropClusters removes what a service had; what it still has comes again.
func (p *part) dropClusters(host string, u *clusterUnit) {
	for _, cl := range u.clusters {
		p.touched[Clusters][cl.Name], p.touched[Endpoints][cl.Name] = nil, nil
	}
	delete(p.clusters, host)
	p.report(clustersOf(host), nil)
	p.report(assignmentsOf(host), nil)
}

// compute makes a unit again and keeps the index of what it read.
func (p *part) compute(m maker, id unitID) {
	former := p.read(id)
	if id.typ == Listeners {
		u := m.listener(id.name)
		p.listeners[id.name] = u
		p.touched[Listeners][id.name] = u.resource
	} else {
		u := p.routes[id.name]
		u.take(id.host, m.host(id, u.services[id.host]))
	}
	read := p.read(id)
	if slices.Equal(former, read) {
		return
	}
	p.index++
	p.unread(id, former)
	for _, host := range read {
		p.readers[host] = append(p.readers[host], id)
	}
}

// read gives the hosts that a unit has read.
func (p *part) read(id unitID) []string {
	if id.typ == Listeners {
		if u := p.listeners[id.name]; u != nil {
			return u.read
		}
		return nil
	}
	if u := p.routes[id.name].hosts[id.host]; u != nil {
		return u.read
	}
	return nil
}

// unread takes a unit out of the index.
func (p *part) unread(id unitID, read []string) {
	for _, host := range read {
		rest := slices.DeleteFunc(p.readers[host], func(o unitID) bool { return o == id })
		if p.readers[host] = rest; len(rest) == 0 {
			delete(p.readers, host)
		}
	}
}

// forget takes a unit that is dropped out of the indexes.
func (p *part) forget(id unitID) {
	p.index++
	p.unread(id, p.read(id))
	p.report(id, nil)
}

func (p *part) units() int {
	n := len(p.clusters) + len(p.listeners)
	for _, u := range p.routes {
		n += len(u.hosts)
	}
	return n
}
