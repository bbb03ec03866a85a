package push

import (
	"maps"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// overlay is a product of which most is that of a part: what a namespace sends is what one with
// nothing of its own does, but for the units that read a host which the namespace sees otherwise,
// or that looked at the client itself. So a further namespace costs what is particular to it.
type overlay struct {
	product
	below *part // which is up to date before the overlay is

	shared     bool                // the layout is that of below
	particular map[string]struct{} // hosts that the namespace may see otherwise
	wild       bool                // which may be more with a new service
	index      int                 // of below, from which follows whose units are own
	reads      map[string]struct{} // hosts that own units read, and those that are particular
	// Units in the place of those below, or beside them.
	clusters  map[string]*clusterUnit
	assigned  map[string]map[string]*Resource // load assignments of clusters, by host and name
	listeners map[string]*listenerUnit
	routes    map[string]*overlayRoutes
	// Where the layout is not shared:
	present map[unitID]struct{} // its listeners and virtual hosts
	names   *Resource           // the name table

	own   [NumTypes][]entry // what stands over the sets of below; nil hides
	moved bool              // by the last update: own clusters or their assignments
}

func newOverlay(c resolve.Class, e *encoder, below *part) *overlay {
	o := &overlay{below: below}
	o.init(c, e)
	return o
}

func (o *overlay) update(s *store.Snapshot, d *store.Delta) {
	o.begin()
	o.moved = false
	fresh := o.layout == nil || d.All
	lists := fresh || d.Lists.Has(o.class.Namespace)
	own := fresh || lists && o.wild || d.Own.Has(o.class.Namespace) || d.Own.Has(o.class.ShortNamesOf())
	dirty := o.concerns(d)
	m := maker{&o.product, s}
	again := lists || own || o.index != o.below.index || intersect(dirty, o.reads)
	if again {
		if own {
			o.findParticular(s, fresh)
		}
		o.lay(m, lists, dirty)
	}
	o.composeStale(lists)
	o.assign(m, d, dirty)
	again = again || o.computed > 0
	if again {
		o.coverRoutes()
	}
	if o.moved {
		o.coverClusters()
	}
	if again || o.below.relocated { // also where none of below is local any more
		o.setLocal(o.localClusters())
	}
	if o.below.relocated && len(o.local) > 0 {
		o.delocalise()
	}
	o.stack(again)
	if again || o.noted || o.below.noted {
		o.setProblems(o.gather(), o.below.problems)
	}
}

func in[K comparable](key K, set map[K]struct{}) bool {
	_, ok := set[key]
	return ok
}

// intersect tells whether two sets of hosts have one in common.
func intersect(a, b map[string]struct{}) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	for host := range a {
		if in(host, b) {
			return true
		}
	}
	return false
}

// clear forgets all units, so that each is computed again.
func (o *overlay) clear() {
	o.clusters, o.assigned = map[string]*clusterUnit{}, map[string]map[string]*Resource{}
	o.listeners, o.routes = map[string]*listenerUnit{}, map[string]*overlayRoutes{}
	maps.DeleteFunc(o.reports, func(id unitID, _ []model.Problem) bool { return id != ofLayout })
	o.noted, o.moved = true, true
}

// findParticular finds the hosts that the namespace may see otherwise.
func (o *overlay) findParticular(s *store.Snapshot, fresh bool) {
	particular, wild := s.Particular(o.class.Namespace)
	if ns := o.class.ShortNamesOf(); ns != o.class.Namespace {
		more, _ := s.Particular(ns) // whose services count
		maps.Copy(particular, more)
	}
	o.wild = wild
	particular[resolve.Itself] = struct{}{}
	if fresh || !maps.Equal(particular, o.particular) {
		o.particular = particular
		o.clear()
	}
}

// lay finds which units are the namespace's own, and computes those that are new or read a host
// that has other rows.
func (o *overlay) lay(m maker, lists bool, dirty map[string]struct{}) {
	old := o.layout
	if lists {
		o.layLists(m)
	}
	o.layClusters(m, dirty)
	wanted := o.wanted()
	o.drop(wanted)
	for id := range wanted {
		if o.outdated(id, old, lists, dirty) {
			o.compute(m, id)
		}
	}
	o.index, o.reads = o.below.index, o.readHosts()
}

// readHosts gives the hosts whose rows decide about own units.
func (o *overlay) readHosts() map[string]struct{} {
	out := maps.Clone(o.particular)
	add := func(read []string) {
		for _, host := range read {
			out[host] = struct{}{}
		}
	}
	for _, u := range o.listeners {
		add(u.read)
	}
	for _, u := range o.routes {
		for _, h := range u.hosts {
			add(h.read)
		}
	}
	return out
}

// layLists makes the layout, and what follows from lists alone.
func (o *overlay) layLists(m maker) {
	o.shared = resolve.SameLists(m.reader, o.class.Namespace, o.below.class.Namespace)
	o.names = nil
	if o.shared {
		o.layout = o.below.layout.For(&o.class)
		o.report(ofLayout, nil)
		return
	}
	o.layout = resolve.NewLayout(m.reader, &o.class)
	o.report(ofLayout, o.layout.Problems)
	if o.class.DNSCapture {
		o.computed++
		if table, err := o.encoder.nameTable(resolve.NameTable(m.reader, &o.class)); err == nil {
			o.names = table
		}
	}
}

func (o *overlay) layClusters(m maker, dirty map[string]struct{}) {
	for host := range o.particular {
		seen := o.layout.Scope.Service(host) != nil
		switch u := o.clusters[host]; {
		case !seen && u != nil:
			delete(o.clusters, host)
			delete(o.assigned, host)
			o.report(clustersOf(host), nil)
			o.report(assignmentsOf(host), nil)
			o.moved = true
		case seen && (u == nil || in(host, dirty)):
			o.clusters[host] = m.clusters(host)
			o.assignHost(m, host)
		}
	}
}

func (o *overlay) assignHost(m maker, host string) {
	o.moved = true
	u := o.clusters[host]
	o.assigned[host] = map[string]*Resource{}
	m.assign(host, u, o.assigned[host])
	if slices.ContainsFunc(u.clusters, isLocal) {
		o.delocalise()
	}
}

// assign makes the load assignments of own services whose endpoints changed, but of those that
// were computed as a whole.
func (o *overlay) assign(m maker, d *store.Delta, done map[string]struct{}) {
	for host := range d.Endpoints {
		u := o.clusters[host]
		if u == nil || in(host, done) {
			continue
		}
		o.computed++
		o.assignHost(m, host)
	}
}

// wanted gives the listeners and virtual hosts that are not those of below.
func (o *overlay) wanted() map[unitID]struct{} {
	out := map[unitID]struct{}{}
	for host := range o.particular {
		for _, id := range o.below.readers[host] {
			out[id] = struct{}{}
		}
	}
	if o.shared {
		return out
	}
	o.present = map[unitID]struct{}{}
	for _, name := range o.layout.Listeners() {
		o.present[listenerOf(name)] = struct{}{}
		if !o.layout.SameListener(o.below.layout, name) {
			out[listenerOf(name)] = struct{}{}
		}
	}
	for _, name := range o.layout.Routes() {
		other := unitID{Routes, name, ""}
		o.present[other], out[other] = struct{}{}, struct{}{}
		for _, svc := range o.layout.RouteServices(name) {
			id := unitID{Routes, name, svc.Hostname}
			o.present[id] = struct{}{}
			if h := o.below.host(id); h == nil || h.service != svc {
				out[id] = struct{}{}
			}
		}
	}
	maps.DeleteFunc(out, func(id unitID, _ struct{}) bool {
		return !in(id, o.present)
	})
	return out
}

// outdated tells whether a unit is new, made of something else, or read a host with other rows.
func (o *overlay) outdated(id unitID, old *resolve.Layout, lists bool, dirty map[string]struct{}) bool {
	if id.typ == Listeners {
		u := o.listeners[id.name]
		return u == nil || readsAny(u.read, dirty) || lists && (old == nil || !o.layout.SameListener(old, id.name))
	}
	u := o.host(id)
	if u == nil || readsAny(u.read, dirty) {
		return true
	}
	if id.host == "" {
		return lists
	}
	return u.service != o.layout.Scope.Service(id.host)
}

// compute makes a unit again.
func (o *overlay) compute(m maker, id unitID) {
	if id.typ == Listeners {
		o.listeners[id.name] = m.listener(id.name)
		return
	}
	u := o.routes[id.name]
	if u == nil {
		u = &overlayRoutes{hosts: map[string]*hostUnit{}}
		o.routes[id.name] = u
	}
	var svc *model.Service
	if id.host != "" {
		svc = o.layout.Scope.Service(id.host)
	}
	u.hosts[id.host], u.stale = m.host(id, svc), true
}

// drop gives up the units that are not wanted, so that those of below count again.
func (o *overlay) drop(wanted map[unitID]struct{}) {
	unwanted := func(id unitID) bool {
		if in(id, wanted) {
			return false
		}
		o.report(id, nil)
		return true
	}
	maps.DeleteFunc(o.listeners, func(name string, _ *listenerUnit) bool { return unwanted(listenerOf(name)) })
	for name, u := range o.routes {
		before := len(u.hosts)
		maps.DeleteFunc(u.hosts, func(host string, _ *hostUnit) bool { return unwanted(unitID{Routes, name, host}) })
		u.stale = u.stale || len(u.hosts) < before
		if len(u.hosts) == 0 {
			o.report(unitID{Routes, name, wholeConfiguration}, nil)
			delete(o.routes, name)
		}
	}
}

// localClusters gives the list of below where none of it is of an own host, nor an own one local.
func (o *overlay) localClusters() []*ir.Cluster {
	hidden := func(cl *ir.Cluster) bool { return o.clusters[cl.Endpoints.Host] != nil }
	own := localOf(o.clusters)
	if len(own) == 0 && !slices.ContainsFunc(o.below.local, hidden) {
		return o.below.local
	}
	return append(slices.DeleteFunc(slices.Clone(o.below.local), hidden), own...)
}

func (o *overlay) endpoints(r resolve.Reader, c *resolve.Class) *Set {
	if o.sets[Endpoints] == o.below.sets[Endpoints] && slices.Equal(o.local, o.below.local) {
		return o.below.endpoints(r, c)
	}
	return o.product.endpoints(r, c)
}

// gather gives the problems of all units that count.
func (o *overlay) gather() []model.Problem {
	var out []model.Problem
	for id, problems := range o.below.reports {
		if !o.hides(id) {
			out = append(out, problems...)
		}
	}
	for _, problems := range o.reports {
		out = append(out, problems...)
	}
	return out
}

// hides tells whether a unit of below does not count.
func (o *overlay) hides(id unitID) bool {
	switch {
	case id == ofLayout:
		return !o.shared
	case id.typ == Clusters, id.typ == Endpoints:
		return o.clusters[id.host] != nil
	case !o.shared && id.host != wholeConfiguration && !in(id, o.present):
		return true
	case id.typ == Listeners:
		return o.listeners[id.name] != nil
	case id.host == wholeConfiguration:
		return o.routes[id.name] != nil
	}
	return o.host(id) != nil
}

func (o *overlay) units() int {
	n := len(o.clusters) + len(o.listeners)
	for _, u := range o.routes {
		n += len(u.hosts)
	}
	return n
}
