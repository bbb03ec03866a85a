package push

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// routeUnit is one route configuration, put together from the marshalled virtual hosts of its
// services and the others.
type routeUnit struct {
	name     string
	services map[string]*hostUnit // by hostname
	order    []*hostUnit          // services by hostname, then the others
	other    *hostUnit
	moved    bool // order changed, or a domain
	stale    bool // a virtual host changed, or moved
	unique   bool // no domain stands twice
	resource *Resource
}

// hostUnit is the virtual host of a service, or those of no service.
type hostUnit struct {
	routes  *routeUnit
	service *model.Service // nil for the others
	read    []string
	hosts   []*virtualHost
	err     error // of a host that came out forbidden
}

func (u *hostUnit) former() *[]string { return &u.read }

func (u *hostUnit) compute(p *part, r resolve.Reader) []string {
	var read []string
	saw := func(host string) { read = append(read, host) }
	var hosts []*ir.VirtualHost
	var problems []model.Problem
	if u.service == nil {
		hosts, problems = p.layout.OtherHosts(r, u.routes.name, saw)
	} else {
		var vh *ir.VirtualHost
		vh, problems = p.layout.ServiceHost(r, u.routes.name, u.service, saw)
		hosts = []*ir.VirtualHost{vh}
	}
	p.report(u, problems)
	before := u.hosts
	u.hosts, u.err = p.encodeHosts(hosts)
	if u.err != nil || !slices.Equal(before, u.hosts) {
		u.routes.stale = true
	}
	if !slices.EqualFunc(before, u.hosts, sameDomains) {
		u.routes.moved = true
	}
	return read
}

func sameDomains(a, b *virtualHost) bool { return slices.Equal(a.value.Domains, b.value.Domains) }

func (p *part) encodeHosts(hosts []*ir.VirtualHost) ([]*virtualHost, error) {
	out := make([]*virtualHost, 0, len(hosts))
	for _, vh := range hosts {
		encoded, err := p.encoder.virtualHost(vh)
		if err != nil {
			return out, err
		}
		out = append(out, encoded)
	}
	return out, nil
}

// layRoutes brings the configurations up to the layout; services tells that other ones are seen.
func (p *part) layRoutes(services bool, again map[unit]struct{}, out changes) {
	names := map[string]struct{}{}
	for _, name := range p.layout.Routes() {
		names[name] = struct{}{}
		u := p.routes[name]
		added := u == nil
		if added {
			u = &routeUnit{name: name, services: map[string]*hostUnit{}, moved: true}
			u.other = &hostUnit{routes: u}
			p.routes[name] = u
		}
		again[u.other] = struct{}{}
		if services || added {
			p.layHosts(u, again)
		}
	}
	for name, u := range p.routes {
		if _, ok := names[name]; ok {
			continue
		}
		for _, h := range u.order {
			p.forget(h)
			delete(again, h)
		}
		delete(p.routes, name)
		out[Routes][name] = nil
	}
}

// layHosts brings a configuration's virtual hosts up to its services.
func (p *part) layHosts(u *routeUnit, again map[unit]struct{}) {
	former := u.services
	services := p.layout.RouteServices(u.name)
	u.services = make(map[string]*hostUnit, len(services))
	order := make([]*hostUnit, 0, len(services)+1)
	for _, svc := range services {
		h := former[svc.Hostname]
		if h == nil {
			h = &hostUnit{routes: u}
		}
		if h.service != svc {
			h.service = svc
			again[h] = struct{}{}
		}
		u.services[svc.Hostname] = h
		order = append(order, h)
	}
	order = append(order, u.other)
	for host, h := range former {
		if u.services[host] != h {
			p.forget(h)
		}
	}
	u.moved = u.moved || !slices.Equal(order, u.order)
	u.stale = u.stale || u.moved
	u.order = order
}

// compose puts a configuration together. One with a forbidden host stays as it was.
func (p *part) compose(u *routeUnit) {
	u.stale = false
	delete(p.problems, u)
	hosts := make([]*virtualHost, 0, len(u.order))
	var err error
	for _, h := range u.order {
		hosts = append(hosts, h.hosts...)
		if err == nil {
			err = h.err
		}
	}
	if err == nil {
		hosts, err = p.unique(u, hosts)
	}
	var res *Resource
	if err == nil {
		res, err = p.encoder.routes(u.name, hosts)
	}
	u.resource = p.serves(Routes, u.name, res, err, u)
}

// unique leaves a domain that stands twice with its first host. Whether there is one is looked at
// only where a domain changed.
func (p *part) unique(u *routeUnit, hosts []*virtualHost) ([]*virtualHost, error) {
	if !u.moved && u.unique {
		return hosts, nil
	}
	u.moved = false
	encoded := make(map[*ir.VirtualHost]*virtualHost, len(hosts))
	all := make([]*ir.VirtualHost, 0, len(hosts))
	for _, h := range hosts {
		encoded[h.value] = h
		all = append(all, h.value)
	}
	kept := resolve.UniqueDomains(all)
	u.unique = slices.Equal(kept, all)
	if u.unique {
		return hosts, nil
	}
	out := make([]*virtualHost, 0, len(kept))
	for _, vh := range kept {
		h := encoded[vh]
		if h == nil { // it lost a domain
			var err error
			if h, err = p.encoder.virtualHost(vh); err != nil {
				return nil, err
			}
		}
		out = append(out, h)
	}
	return out, nil
}
