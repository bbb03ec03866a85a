package push

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// clusterUnit is the clusters of one service.
type clusterUnit struct {
	host     string
	clusters []*ir.Cluster
}

func (p *part) computeClusters(r resolve.Reader, u *clusterUnit, out changes) {
	p.computed++
	p.dropClusters(u, out)
	svc := p.layout.Scope.Service(u.host)
	clusters, problems := resolve.ServiceClusters(r, &p.class, svc)
	p.report(u, problems)
	for _, cl := range clusters {
		res, cl, err := p.encoder.cluster(cl)
		u.clusters = append(u.clusters, cl)
		out[Clusters][cl.Name] = p.serves(Clusters, cl.Name, res, err, u)
		if hasLocal(cl) {
			p.local = append(p.local, cl)
			p.localChanged = true
		}
	}
	p.assignClusters(r, u, out)
}

// dropClusters removes what a service had; what it still has comes again.
func (p *part) dropClusters(u *clusterUnit, out changes) {
	delete(p.problems, u)
	for _, cl := range u.clusters {
		out[Clusters][cl.Name], out[Endpoints][cl.Name] = nil, nil
		if hasLocal(cl) {
			p.local = slices.DeleteFunc(p.local, func(o *ir.Cluster) bool { return o == cl })
			p.localChanged = true
		}
	}
	u.clusters = nil
}

func hasLocal(cl *ir.Cluster) bool {
	return cl.Discovery == ir.DiscoveryEDS && cl.Endpoints != nil && local(cl)
}

// assign makes the load assignments of services whose endpoints changed, but of those that were
// computed as a whole.
func (p *part) assign(r resolve.Reader, d *store.Delta, done map[string]struct{}, out changes) {
	for host := range d.Endpoints {
		u := p.clusters[host]
		if _, did := done[host]; did || u == nil {
			continue
		}
		p.computed++
		p.localChanged = p.localChanged || slices.ContainsFunc(u.clusters, hasLocal)
		p.assignClusters(r, u, out)
	}
}

func (p *part) assignClusters(r resolve.Reader, u *clusterUnit, out changes) {
	for _, cl := range u.clusters {
		if cl.Discovery == ir.DiscoveryEDS && cl.Endpoints != nil && !local(cl) {
			res, err := p.encoder.sharedAssignment(r, &p.class, cl)
			out[Endpoints][cl.Name] = p.serves(Endpoints, cl.Name, res, err, u)
		}
	}
}

// listenerUnit is one listener of services.
type listenerUnit struct {
	name     string
	read     []string
	resource *Resource
}

func (u *listenerUnit) former() *[]string { return &u.read }

func (u *listenerUnit) compute(p *part, r resolve.Reader) []string {
	var read []string
	l, problems := p.layout.Listener(r, u.name, func(host string) { read = append(read, host) })
	p.report(u, problems)
	res, err := p.encoder.listener(l)
	u.resource = p.serves(Listeners, u.name, res, err, u)
	return read
}

func (p *part) layListeners(old *resolve.Layout, again map[unit]struct{}, out changes) {
	names := map[string]struct{}{}
	for _, name := range p.layout.Listeners() {
		names[name] = struct{}{}
		u := p.listeners[name]
		if u == nil {
			u = &listenerUnit{name: name}
			p.listeners[name] = u
		}
		if old == nil || !p.layout.SameListener(old, name) {
			again[u] = struct{}{}
		}
	}
	for name, u := range p.listeners {
		if _, ok := names[name]; !ok {
			p.forget(u)
			delete(p.listeners, name)
			out[Listeners][name] = nil
		}
	}
}

// collect hands on what the units gave, and puts together the route configurations of which a
// virtual host was computed.
func (p *part) collect(computed map[unit]struct{}, out changes) {
	for u := range computed {
		if l, ok := u.(*listenerUnit); ok && p.listeners[l.name] == l {
			out[Listeners][l.name] = l.resource
		}
	}
	for _, u := range p.routes {
		if u.stale {
			p.compose(u)
			out[Routes][u.name] = u.resource
		}
	}
}
