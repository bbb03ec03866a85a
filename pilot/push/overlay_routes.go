package push

import (
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// overlayRoutes is a route configuration some of whose virtual hosts are not those of the part
// below.
type overlayRoutes struct {
	hosts    map[string]*hostUnit // by hostname; those of no service under ""
	below    []*hostUnit          // the part's, in order, as resource was made with them
	stale    bool                 // hosts changed
	resource *Resource
}

// host gives an own unit of a route configuration, or nil.
func (o *overlay) host(id unitID) *hostUnit {
	if u := o.routes[id.name]; u != nil {
		return u.hosts[id.host]
	}
	return nil
}

// host gives a unit of a route configuration, or nil.
func (p *part) host(id unitID) *hostUnit {
	if u := p.routes[id.name]; u != nil {
		return u.hosts[id.host]
	}
	return nil
}

// composeStale puts the configurations together of which a virtual host changed, own or not. One
// with a forbidden host stays as it was.
func (o *overlay) composeStale(lists bool) {
	for name, u := range o.routes {
		var below []*hostUnit
		if b := o.below.routes[name]; b != nil {
			below = b.order
		}
		if !u.stale && sameUnits(below, u.below) && (o.shared || !lists) {
			continue
		}
		u.stale, u.below = false, below
		res, _, err := o.encoder.compose(name, o.order(name, u), o.unique(name, u))
		var problems []model.Problem
		u.resource = o.serves(Routes, name, res, err, &problems)
		o.report(unitID{Routes, name, wholeConfiguration}, problems)
		o.computed++
	}
}

// sameUnits tells whether two lists are one.
func sameUnits(a, b []*hostUnit) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// order gives the units of a configuration: own ones in the place of those below.
func (o *overlay) order(name string, u *overlayRoutes) []*hostUnit {
	if o.shared {
		out := make([]*hostUnit, 0, len(u.below))
		for _, h := range u.below {
			host := ""
			if h.service != nil {
				host = h.service.Hostname
			}
			if own := u.hosts[host]; own != nil {
				h = own
			}
			out = append(out, h)
		}
		return out
	}
	services := o.layout.RouteServices(name)
	out := make([]*hostUnit, 0, len(services)+1)
	for _, svc := range services {
		h := u.hosts[svc.Hostname]
		if h == nil {
			h = o.below.host(unitID{Routes, name, svc.Hostname})
		}
		out = append(out, h)
	}
	return append(out, u.hosts[""])
}

// unique tells whether it is known that no domain stands twice: it stands once below, and own
// hosts take none of another host.
func (o *overlay) unique(name string, u *overlayRoutes) bool {
	b := o.below.routes[name]
	if !o.shared || !b.unique {
		return false
	}
	below, own := b.ownersOfDomains(), map[string]struct{}{}
	for _, h := range u.hosts {
		for _, vh := range h.hosts {
			for _, domain := range vh.value.Domains {
				domain = strings.ToLower(domain)
				if _, twice := own[domain]; twice {
					return false
				}
				own[domain] = struct{}{}
				if owner, taken := below[domain]; taken && u.hosts[owner] == nil {
					return false
				}
			}
		}
	}
	return true
}
