package push

import (
	"slices"
	"strings"
	"sync"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// routeUnit is one route configuration, put together from the marshalled virtual hosts of its
// services and the others.
type routeUnit struct {
	name     string
	services map[string]*model.Service // by hostname
	hosts    map[string]*hostUnit      // by hostname; those of no service under ""
	order    []*hostUnit               // by hostname, those of no service last; replaced, never changed
	stale    bool                      // a virtual host changed, or moved
	moved    bool                      // a host came or went, or changed its domains
	unique   bool                      // no domain stands twice
	resource *Resource

	mu     sync.Mutex // guards owners while overlays are built concurrently
	owners map[string]string
}

// take puts a unit in the place of the former one.
func (u *routeUnit) take(host string, next *hostUnit) {
	old := u.hosts[host]
	u.hosts[host] = next
	if old == nil {
		u.moved, u.stale = true, true
		return
	}
	u.stale = u.stale || next.err != nil || old.service != next.service || !slices.Equal(old.hosts, next.hosts)
	u.moved = u.moved || !slices.EqualFunc(old.hosts, next.hosts, sameDomains)
}

func sameDomains(a, b *virtualHost) bool { return slices.Equal(a.value.Domains, b.value.Domains) }

// layRoutes brings the configurations up to the layout; services tells that other ones are seen.
func (p *part) layRoutes(services bool, again map[unitID]struct{}) {
	names := p.layout.Routes()
	for _, name := range names {
		u := p.routes[name]
		added := u == nil
		if added {
			u = &routeUnit{name: name, hosts: map[string]*hostUnit{}}
			p.routes[name] = u
		}
		again[unitID{Routes, name, ""}] = struct{}{}
		if services || added {
			p.layHosts(u, again)
		}
	}
	for name, u := range without(p.routes, names) {
		for host := range u.hosts {
			p.forget(unitID{Routes, name, host})
			delete(again, unitID{Routes, name, host})
		}
		p.report(unitID{Routes, name, wholeConfiguration}, nil)
		delete(p.routes, name)
		p.touched[Routes][name] = nil
	}
}

// layHosts brings a configuration's virtual hosts up to its services.
func (p *part) layHosts(u *routeUnit, again map[unitID]struct{}) {
	services := p.layout.RouteServices(u.name)
	u.services = make(map[string]*model.Service, len(services))
	for _, svc := range services {
		u.services[svc.Hostname] = svc
		if h := u.hosts[svc.Hostname]; h == nil || h.service != svc {
			again[unitID{Routes, u.name, svc.Hostname}] = struct{}{}
		}
	}
	for host := range u.hosts {
		if host != "" && u.services[host] == nil {
			p.forget(unitID{Routes, u.name, host})
			delete(u.hosts, host)
			u.moved, u.stale = true, true
		}
	}
}

// wholeConfiguration stands for a host where a route configuration as a whole is meant.
const wholeConfiguration = "(all)"

// composeStale puts the configurations together of which a virtual host changed. One with a
// forbidden host stays as it was.
func (p *part) composeStale() {
	for _, u := range p.routes {
		if !u.stale {
			continue
		}
		u.stale = false
		if u.moved {
			u.owners = nil
		}
		u.order = p.order(u)
		res, unique, err := p.encoder.compose(u.name, u.order, u.unique && !u.moved)
		u.moved, u.unique = false, unique
		var problems []model.Problem
		u.resource = p.serves(Routes, u.name, res, err, &problems)
		p.report(unitID{Routes, u.name, wholeConfiguration}, problems)
		p.touched[Routes][u.name] = u.resource
	}
}

func (p *part) order(u *routeUnit) []*hostUnit {
	out := make([]*hostUnit, 0, len(u.hosts))
	for _, svc := range p.layout.RouteServices(u.name) {
		out = append(out, u.hosts[svc.Hostname])
	}
	return append(out, u.hosts[""])
}

// ownersOfDomains tells which host has a domain, both in lower case; those of no service are "".
func (u *routeUnit) ownersOfDomains() map[string]string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.owners != nil {
		return u.owners
	}
	u.owners = make(map[string]string, 4*len(u.order))
	for host, h := range u.hosts {
		for _, vh := range h.hosts {
			for _, domain := range vh.value.Domains {
				u.owners[strings.ToLower(domain)] = host
			}
		}
	}
	return u.owners
}

// compose puts a route configuration together. A domain that stands twice is left with its first
// host; unique tells on the way in that there is none, on the way out whether there was none.
func (e *encoder) compose(name string, units []*hostUnit, unique bool) (*Resource, bool, error) {
	hosts := make([]*virtualHost, 0, len(units))
	for _, u := range units {
		if u.err != nil {
			return nil, unique, u.err
		}
		hosts = append(hosts, u.hosts...)
	}
	if !unique {
		var err error
		if hosts, unique, err = e.uniqueDomains(hosts); err != nil {
			return nil, unique, err
		}
	}
	res, err := e.routes(name, hosts)
	return res, unique, err
}

// uniqueDomains leaves a domain with its first host, and tells whether all were so.
func (e *encoder) uniqueDomains(hosts []*virtualHost) ([]*virtualHost, bool, error) {
	encoded := make(map[*ir.VirtualHost]*virtualHost, len(hosts))
	all := make([]*ir.VirtualHost, 0, len(hosts))
	for _, h := range hosts {
		encoded[h.value] = h
		all = append(all, h.value)
	}
	kept := resolve.UniqueDomains(all)
	if slices.Equal(kept, all) {
		return hosts, true, nil
	}
	out := make([]*virtualHost, 0, len(kept))
	for _, vh := range kept {
		h := encoded[vh]
		if h == nil { // it lost a domain
			var err error
			if h, err = e.virtualHost(vh); err != nil {
				return nil, false, err
			}
		}
		out = append(out, h)
	}
	return out, false, nil
}
