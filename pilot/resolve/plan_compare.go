package resolve

import (
	"cmp"
	"slices"
	"strings"
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

// walkMaps does the same for two maps.
func walkMaps[T any](now, then map[string]*T, same func(a, b *T) bool, visit func(name string, c Change)) {
	for name, a := range now {
		switch b := then[name]; {
		case b == nil:
			visit(name, Added)
		case !same(a, b):
			visit(name, Altered)
		}
	}
	for name := range then {
		if now[name] == nil {
			visit(name, Gone)
		}
	}
}

// CompareServices visits the hosts of the services that differ from those of another plan.
func (p *Plan) CompareServices(other *Plan, visit func(host string, c Change)) {
	walk(p.services, other.services, hostname, sameService, visit)
}

// CompareRuled visits the Ruled that another plan has not, and those that it alone has.
func (p *Plan) CompareRuled(other *Plan, visit func(host string, c Change)) {
	walkNames(p.ruled, other.ruled, true, visit)
}

// walkNames walks along names, all of which are the same or none.
func walkNames(now, then []string, same bool, visit func(string, Change)) {
	walk(now, then, func(s string) string { return s }, func(string, string) bool { return same }, visit)
}

// ChangedFacts gives the facts, as units note them, that differ from those of a former plan, which may be nil.
func (p *Plan) ChangedFacts(old *Plan) []string {
	former := cmp.Or(old, &Plan{scope: &scope{}})
	if p.scope.services == nil && former.scope.services == nil {
		return nil // the units read the services themselves
	}
	var facts []string
	p.CompareServices(former, func(host string, _ Change) { facts = append(facts, factScope+host) })
	if !p.scope.sameEgress(former.scope) {
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
	scope := p.SameScope(other)
	walkMaps(p.listeners, other.listeners, func(a, b *outbound) bool { return scope && a.same(b) }, visit)
}

func (o *outbound) same(b *outbound) bool {
	return o.routes == b.routes && o.sniff == b.sniff && o.grpcWeb == b.grpcWeb && o.bound == b.bound &&
		o.hosts.same(b.hosts) && slices.EqualFunc(o.tcp, b.tcp, tcpPort.same)
}

// CompareRoutes visits the Routes that another plan has not, and those that it alone has.
func (p *Plan) CompareRoutes(other *Plan, visit func(route string, c Change)) {
	walkMaps(p.routes, other.routes, func(_, _ *routePlan) bool { return true }, visit)
}

// CompareHosts visits the Hosts of all route configurations that are of another service than in another plan. A host
// that only rules name now, or no more, is both Gone and Added.
func (p *Plan) CompareHosts(other *Plan, visit func(route, host string, c Change)) {
	scope := p.SameScope(other)
	compare := func(route string, now, then *routePlan) {
		now.compare(then, scope, func(host string, c Change) { visit(route, host, c) })
	}
	for name, rp := range p.routes {
		compare(name, rp, cmp.Or(other.routes[name], &routePlan{proxied: rp.proxied}))
	}
	for name, rp := range other.routes {
		if p.routes[name] == nil {
			compare(name, &routePlan{proxied: rp.proxied}, rp)
		}
	}
}

// compare does so for one configuration, which is an empty plan where it has none. The last of its hosts takes what the
// others leave.
func (rp *routePlan) compare(then *routePlan, sameScope bool, visit func(host string, c Change)) {
	alike := rp.port == then.port && rp.egress.same(then.egress)
	walk(rp.services, then.services, rp.host, func(a, b servicePort) bool { return alike && a.same(b) }, visit)
	walk(rp.hosts, then.hosts, otherHost.key, func(a, b otherHost) bool { return alike && a.same(b) }, visit)
	last := func(rp *routePlan) []string { return rp.order[max(0, len(rp.order)-1):] }
	sameLast := rp.port == then.port && sameScope
	if rp.sniffed != nil && then.sniffed != nil {
		sameLast = alike && rp.sniffed.same(*then.sniffed)
	}
	walkNames(last(rp), last(then), sameLast, visit)
}

// SamePlan tells whether both are one plan, be it for two classes.
func (p *Plan) SamePlan(other *Plan) bool { return p.scope == other.scope }
