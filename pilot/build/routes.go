package build

import (
	"slices"
	"strings"
	"sync"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// routes is a route configuration, put together from the marshalled virtual hosts of units. A layer
// over another has those in which a virtual host is its own.
type routes struct {
	name    string
	hosts   []string    // as the outline has them
	order   []hostField // those that there are, in order; replaced, never changed
	beneath []hostField // order of the layer below, with which it was made
	changed []*unit     // whose virtual host is another one
	stale   bool        // a virtual host changed, or moved
	moved   bool        // a host came or went, or changed its domains
	unique  bool        // no domain stands twice
	over    bool        // it was made over one of the layer below
	head    *routeHead  // with which it was made
	given   Output

	// Of order, found when asked for: where hosts stand in it, and which has a domain. They are nil where it is over
	// another, which has no order of its own.
	positions, owners func() map[string]int
}

// hostField is a virtual host with the host that it is of.
type hostField struct {
	host string
	*encodedHost
}

// take notes that a unit gave another output.
func (r *routes) take(u *unit, former Output) {
	if former.host == u.host && u.err == nil && former.err == nil {
		return
	}
	r.stale, r.changed = true, append(r.changed, u)
	r.moved = r.moved || former.host == nil || u.host == nil || !slices.Equal(former.host.value.Domains, u.host.value.Domains)
}

// layRoutes finds which route configurations the layer has for itself.
func (l *layer) layRoutes() {
	wanted := map[string]struct{}{}
	for id := range l.units {
		if id.Kind == kindVirtualHost || id.Kind == kindRouteHead {
			wanted[id.Name] = struct{}{}
		}
	}
	if !l.borrowed {
		for _, name := range l.outline.Routes() {
			wanted[name] = struct{}{}
		}
	}
	for name, r := range l.routes {
		if _, stays := wanted[name]; stays {
			continue
		}
		delete(l.routes, name)
		l.replace(UnitID{Kind: kindRoutes, Name: name}, &r.given, Output{Type: resource.Routes})
	}
	for name := range wanted {
		r := l.routes[name]
		if r == nil {
			r = &routes{name: name, stale: true, moved: true}
			l.routes[name] = r
		}
		hosts := l.outline.Hosts(name)
		if !sameList(hosts, r.hosts) && !slices.Equal(hosts, r.hosts) {
			r.stale, r.moved = true, true
		}
		r.hosts = hosts
	}
}

// composeRoutes puts the configurations together of which a virtual host changed, here or in the layer
// below. One with a forbidden host stays as it was.
func (l *layer) composeRoutes() {
	for _, r := range l.routes {
		var below *routes
		if l.varies() {
			below = l.below.routes[r.name]
		}
		if over := below != nil; over != r.over { // what is known of order was of the other way to make it
			r.over, r.stale, r.moved, r.positions, r.owners = over, true, true, nil, nil
		}
		head := l.headOf(r.name)
		if !r.stale && head == r.head && (below == nil || sameList(below.order, r.beneath)) {
			continue
		}
		r.head = head
		unique := r.unique && !r.moved
		if below != nil {
			r.beneath, unique = below.order, l.uniqueOver(r, below)
		}
		order, err := l.order(r, below)
		if r.moved && below == nil {
			r.positions = sync.OnceValue(func() map[string]int { return positionsOf(r.order) })
			r.owners = sync.OnceValue(func() map[string]int { return ownersOf(r.order) })
		}
		r.stale, r.moved, r.changed = false, err != nil, nil
		if below == nil {
			r.order = order
		}
		var res *resource.Resource
		if err == nil {
			res, r.unique, err = l.builder.encoder.compose(r.name, order, unique, head)
		}
		next := Output{Type: resource.Routes}
		next.add(r.name, res, err)
		l.replace(UnitID{Kind: kindRoutes, Name: r.name}, &r.given, next)
	}
}

// headOf gives what EnvoyFilters make of a route configuration beside its virtual hosts; nil for nothing.
func (l *layer) headOf(route string) *routeHead {
	if u := l.find(UnitID{Kind: kindRouteHead, Name: route}); u != nil {
		return u.head
	}
	return nil
}

// sameList tells whether two lists are one.
func sameList[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// order gives the virtual hosts of a configuration: own ones in the place of those below.
func (l *layer) order(r, below *routes) ([]hostField, error) {
	switch {
	case below != nil && l.borrowed && below.positions != nil:
		if out, ok := l.spliced(below, l.ownHosts(r.name)); ok {
			return out, nil
		}
	case below == nil && !r.moved && r.positions != nil:
		if out, ok := l.spliced(r, r.changed); ok {
			return out, nil
		}
	}
	out := make([]hostField, 0, len(r.hosts))
	for _, host := range r.hosts {
		u := l.find(UnitID{Kind: kindVirtualHost, Name: r.name, Host: host})
		switch {
		case u == nil:
		case u.err != nil:
			return nil, u.err
		case u.host != nil:
			out = append(out, hostField{host, u.host})
		}
	}
	return out, nil
}

// ownHosts gives the layer's own units of a route configuration.
func (l *layer) ownHosts(route string) []*unit {
	var out []*unit
	for id, u := range l.units {
		if id.Kind == kindVirtualHost && id.Name == route {
			out = append(out, u)
		}
	}
	return out
}

// spliced puts virtual hosts into a copy of an order; ok is false where one comes or goes.
func (l *layer) spliced(r *routes, units []*unit) (_ []hostField, ok bool) {
	out := slices.Clone(r.order)
	positions := r.positions()
	for _, u := range units {
		at, found := positions[u.id.Host]
		if !found || u.host == nil || u.err != nil {
			return nil, false
		}
		out[at] = hostField{u.id.Host, u.host}
	}
	return out, true
}

// positionsOf tells where hosts stand.
func positionsOf(hosts []hostField) map[string]int {
	out := make(map[string]int, len(hosts))
	for i, h := range hosts {
		out[h.host] = i
	}
	return out
}

// ownersOf tells where the host stands that has a domain, in lower case: the first that has it other than as an alias, or
// else the first that has it.
func ownersOf(hosts []hostField) map[string]int {
	out := make(map[string]int, 4*len(hosts))
	own := func(i int, domains []string) {
		for _, domain := range domains {
			domain = strings.ToLower(domain)
			if _, taken := out[domain]; !taken {
				out[domain] = i
			}
		}
	}
	for i, h := range hosts {
		own(i, h.value.Domains[:len(h.value.Domains)-h.value.Aliases])
	}
	for i, h := range hosts {
		own(i, h.value.Domains[len(h.value.Domains)-h.value.Aliases:])
	}
	return out
}

// uniqueOver tells whether it is known that no domain stands twice: it stands once below, and own
// hosts take none of another host.
func (l *layer) uniqueOver(r, below *routes) bool {
	if !l.borrowed || !below.unique || below.owners == nil {
		return false
	}
	owners, own := below.owners(), map[string]struct{}{}
	for _, u := range l.ownHosts(r.name) {
		if u.host == nil {
			continue
		}
		for _, domain := range u.host.value.Domains {
			domain = strings.ToLower(domain)
			if _, twice := own[domain]; twice {
				return false
			}
			own[domain] = struct{}{}
			owner, taken := owners[domain]
			if taken && l.units[UnitID{Kind: kindVirtualHost, Name: r.name, Host: below.order[owner].host}] == nil {
				return false
			}
		}
	}
	return true
}
