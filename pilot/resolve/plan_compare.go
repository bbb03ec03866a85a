package resolve

import (
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Change is how a plan differs from another in one name.
type Change int

// The changes.
const (
	Added   Change = iota // the other plan has no such name
	Gone                  // only the other plan has it
	Altered               // both have it, with another part of the plan
)

// walk goes along two lists that are sorted by name, side by side, and visits the names in which they differ. Each
// namespace with rules of its own compares its plan when a service changes. Nearly all of two plans is the same, so
// nothing is looked up.
func walk[T any](now, then []T, name func(T) string, same func(a, b T) bool, visit func(name string, c Change)) {
	for len(now) > 0 || len(then) > 0 {
		order := len(then) - len(now) // where one list has ended
		if len(now) > 0 && len(then) > 0 {
			order = strings.Compare(name(now[0]), name(then[0]))
		}
		switch {
		case order < 0:
			visit(name(now[0]), Added)
			now = now[1:]
		case order > 0:
			visit(name(then[0]), Gone)
			then = then[1:]
		default:
			if !same(now[0], then[0]) {
				visit(name(now[0]), Altered)
			}
			now, then = now[1:], then[1:]
		}
	}
}

// CompareServices visits the hosts of the services that differ from those of another plan.
func (p *Plan) CompareServices(other *Plan, visit func(host string, c Change)) {
	walk(p.services, other.services, func(svc *model.Service) string { return svc.Hostname }, sameService, visit)
}

// CompareUnrouted visits the Unrouted that another plan has not, and those that it alone has.
func (p *Plan) CompareUnrouted(other *Plan, visit func(host string, c Change)) {
	walkNames(p.unrouted, other.unrouted, visit)
}

func walkNames(now, then []string, visit func(string, Change)) {
	walk(now, then, func(s string) string { return s }, func(string, string) bool { return true }, visit)
}

// ChangedFacts gives the facts, as units note them, that differ from those of a former plan, which may be nil.
func (p *Plan) ChangedFacts(old *Plan) []string {
	if p.scope.services == nil && (old == nil || old.scope.services == nil) {
		return nil // the units read the services themselves
	}
	former := &Plan{}
	if old != nil {
		former = old
	}
	var facts []string
	p.CompareServices(former, func(host string, _ Change) { facts = append(facts, factScope+host) })
	if old == nil || !p.scope.sameEgress(old.scope) {
		facts = append(facts, factEgress)
	}
	return facts
}

// SameScope tells whether two plans agree about unknown destinations.
func (p *Plan) SameScope(other *Plan) bool {
	a, b := p.scope, other.scope
	return a.allowAny == b.allowAny && a.proxy == b.proxy && a.byName == b.byName && a.dynamic == b.dynamic
}

// CompareListeners visits the Listeners that have other services than in another plan.
func (p *Plan) CompareListeners(other *Plan, visit func(name string, c Change)) {
	same := p.SameScope(other)
	for name, a := range p.listeners {
		switch b := other.listeners[name]; {
		case b == nil:
			visit(name, Added)
		case !same || !a.same(b):
			visit(name, Altered)
		}
	}
	for name := range other.listeners {
		if p.listeners[name] == nil {
			visit(name, Gone)
		}
	}
}

func (o *outbound) same(b *outbound) bool {
	return o.routes == b.routes && o.sniff == b.sniff && o.grpcWeb == b.grpcWeb && o.bound == b.bound &&
		o.hosts.same(b.hosts) && slices.EqualFunc(o.tcp, b.tcp, tcpPort.same)
}

// CompareRoutes visits the Routes that another plan has not, and those that it alone has.
func (p *Plan) CompareRoutes(other *Plan, visit func(route string, c Change)) {
	for name := range p.routes {
		if other.routes[name] == nil {
			visit(name, Added)
		}
	}
	for name := range other.routes {
		if p.routes[name] == nil {
			visit(name, Gone)
		}
	}
}

// CompareHosts visits the Hosts of all route configurations that are of another service than in another plan. A host
// that only rules name now, or no more, is both Gone and Added.
func (p *Plan) CompareHosts(other *Plan, visit func(route, host string, c Change)) {
	for name, rp := range p.routes {
		if former := other.routes[name]; former != nil && rp.alike(former) {
			walk(rp.services, former.services, rp.host, servicePort.same, func(host string, c Change) { visit(name, host, c) })
			walkNames(rp.hosts, former.hosts, func(host string, c Change) { visit(name, host, c) })
			if !p.SameScope(other) {
				visit(name, FallbackHost, Altered)
			}
			continue
		}
		for _, host := range rp.order {
			if !other.HasHost(name, host) {
				visit(name, host, Added)
			} else if !p.sameHost(other, name, host) {
				visit(name, host, Altered)
			}
		}
	}
	for name, rp := range other.routes {
		if now := p.routes[name]; now != nil && now.alike(rp) {
			continue
		}
		for _, host := range rp.order {
			if !p.HasHost(name, host) {
				visit(name, host, Gone)
			}
		}
	}
}

// alike tells whether the lists of two plans of a configuration have the same order, and decide what is the same.
func (rp *routePlan) alike(other *routePlan) bool {
	return rp.sniffed == nil && other.sniffed == nil && rp.proxied == other.proxied && rp.port == other.port && rp.egress.same(other.egress)
}

// sameHost tells whether a virtual host of a route configuration is of the same service as in another plan, or of
// none in both, which both have it.
func (p *Plan) sameHost(other *Plan, route, host string) bool {
	if host == FallbackHost {
		return p.SameScope(other)
	}
	a, b := p.routes[route], other.routes[route]
	return a.port == b.port && a.egress.same(b.egress) && a.find(host).same(b.find(host))
}

// SamePlan tells whether both are one plan, be it for two classes.
func (p *Plan) SamePlan(other *Plan) bool { return p.scope == other.scope }
