package resolve

import (
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Layout says which units make up what a class sends. It follows from lists (which services and
// VirtualServices are seen, and where headless services have pods); the units follow from it and
// from the rows of the hosts that they read. Routers send as their Gateways say, so that theirs
// has services only.
type Layout struct {
	Scope *EgressScope
	// Problems of the layout itself.
	Problems []model.Problem

	class     *Class
	listeners map[string]*outbound
	routes    map[string]*outbound
	rules     *virtualServices
}

// NewLayout lays out what a class sends.
func NewLayout(r Reader, c *Class) *Layout {
	l := &Layout{Scope: Scope(r, c), class: c, listeners: map[string]*outbound{}, routes: map[string]*outbound{}}
	if c.Type == model.RouterProxy {
		return l
	}
	plan, problems := outboundPlan(r, c, l.Scope)
	l.rules = indexVirtualServices(r, c, l.Scope)
	for _, o := range plan {
		l.listeners[o.name()] = o
		if o.routes != "" && l.routes[o.routes] == nil {
			l.routes[o.routes] = o
		}
	}
	l.Problems = sortProblems(slices.Concat(problems, l.rules.conflicts(), meshProblems(r)))
	return l
}

// For gives the same layout for another class, which sees the same lists (SameLists) and has the
// same Common part.
func (l *Layout) For(c *Class) *Layout {
	out := *l
	out.class = c
	return &out
}

// watched gives the scope with a function that is told of every host that is looked up.
func (l *Layout) watched(saw func(host string)) *EgressScope {
	scope := *l.Scope
	scope.saw = saw
	return &scope
}

// Listeners gives the names of the listeners of services, in no order.
func (l *Layout) Listeners() []string {
	out := make([]string, 0, len(l.listeners))
	for name := range l.listeners {
		out = append(out, name)
	}
	return out
}

// SameListener tells whether a listener has the same services as in another layout.
func (l *Layout) SameListener(other *Layout, name string) bool {
	a, b := l.listeners[name], other.listeners[name]
	return a != nil && b != nil && a.routes == b.routes && a.sniff == b.sniff && slices.Equal(a.tcp, b.tcp)
}

// Listener makes one of the Listeners. saw is told of every host whose rows were read.
func (l *Layout) Listener(r Reader, name string, saw func(host string)) (*ir.Listener, []model.Problem) {
	o := l.listeners[name]
	for _, sp := range o.tcp {
		saw(sp.service.Hostname)
	}
	b := &outboundBuilder{r: r, c: l.class, scope: l.watched(saw), rules: l.rules}
	return b.listener(o), b.problems
}

// VirtualOutbound makes the listener that takes all that the workload sends.
func (l *Layout) VirtualOutbound(r Reader) *ir.Listener { return virtualOutbound(r, l.class, l.Scope) }

// Routes gives the names of the route configurations, in no order.
func (l *Layout) Routes() []string {
	out := make([]string, 0, len(l.routes))
	for name := range l.routes {
		out = append(out, name)
	}
	return out
}

// RouteServices gives the services with a virtual host in a route configuration, by hostname.
func (l *Layout) RouteServices(name string) []*model.Service {
	o := l.routes[name]
	if o.sniff {
		return []*model.Service{o.tcp[0].service}
	}
	var out []*model.Service
	for _, svc := range l.Scope.Services {
		if httpPort(svc, o.port) != nil {
			out = append(out, svc)
		}
	}
	return out
}

// httpPort gives the service's port of a number if it takes part in the port's routes, or nil.
func httpPort(svc *model.Service, number uint32) *model.ServicePort {
	if p := svc.PortByNumber(number); p != nil && (p.Protocol.IsHTTP() || p.Protocol == model.ProtocolAuto) {
		return p
	}
	return nil
}

// ServiceHost makes the virtual host of one of the RouteServices.
func (l *Layout) ServiceHost(r Reader, name string, svc *model.Service, saw func(host string)) (*ir.VirtualHost, []model.Problem) {
	o := l.routes[name]
	saw(svc.Hostname)
	b := &routeBuilder{r: r, c: l.class, scope: l.watched(saw), rules: l.rules, port: o.port}
	if o.sniff {
		return b.sniffedHost(o), b.problems
	}
	return b.serviceHost(servicePort{svc, httpPort(svc, o.port)}), b.problems
}

// OtherHosts makes the virtual hosts of a route configuration that belong to no service.
func (l *Layout) OtherHosts(r Reader, name string, saw func(host string)) ([]*ir.VirtualHost, []model.Problem) {
	o := l.routes[name]
	if o.sniff {
		return nil, nil
	}
	b := &routeBuilder{r: r, c: l.class, scope: l.watched(saw), rules: l.rules, port: o.port}
	return append(b.otherHosts(), fallback(l.Scope)), b.problems
}

// ServiceClusters makes the clusters of one service of the scope.
func ServiceClusters(r Reader, c *Class, svc *model.Service) ([]*ir.Cluster, []model.Problem) {
	b := &clusterBuilder{r: r, c: c}
	b.outbound(svc)
	return b.clusters, sortProblems(b.problems)
}

// OwnClusters makes the clusters that belong to no service that the class sends to.
func OwnClusters(r Reader, c *Class) ([]*ir.Cluster, []model.Problem) {
	b := &clusterBuilder{r: r, c: c}
	b.own()
	return b.clusters, sortProblems(b.problems)
}

// VirtualInbound makes the listener of all that a class of sidecars receives.
func VirtualInbound(r Reader, c *Class) (*ir.Listener, []model.Problem) {
	l, problems := virtualInbound(r, c)
	return l, sortProblems(problems)
}

// ChangedHosts gives the hosts of which one scope has another service than the other, or none.
func (s *EgressScope) ChangedHosts(old *EgressScope) []string {
	var out []string
	a, b := s.Services, old.Services
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Hostname < b[0].Hostname:
			out, a = append(out, a[0].Hostname), a[1:]
		case len(a) == 0 || b[0].Hostname < a[0].Hostname:
			out, b = append(out, b[0].Hostname), b[1:]
		default:
			if a[0] != b[0] {
				out = append(out, a[0].Hostname)
			}
			a, b = a[1:], b[1:]
		}
	}
	return out
}

// HostCovers tells whether a pattern ("*", "*.suffix" or a name) matches a hostname.
func HostCovers(pattern, host string) bool { return hostCovers(pattern, host) }

// UniqueDomains leaves a domain, whose case means nothing, with the first virtual host that has
// it; Envoy would refuse the whole configuration. Hosts that lose a domain are copied, the others
// are the same.
func UniqueDomains(hosts []*ir.VirtualHost) []*ir.VirtualHost {
	taken := make(map[string]struct{}, 4*len(hosts))
	out := make([]*ir.VirtualHost, 0, len(hosts))
	for _, vh := range hosts {
		var kept []string
		for _, d := range vh.Domains {
			key := strings.ToLower(d)
			if _, ok := taken[key]; !ok {
				taken[key] = struct{}{}
				kept = append(kept, d)
			}
		}
		switch {
		case len(kept) == 0:
		case len(kept) == len(vh.Domains):
			out = append(out, vh)
		default:
			pruned := *vh
			pruned.Domains = kept
			out = append(out, &pruned)
		}
	}
	return out
}
