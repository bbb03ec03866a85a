package resolve

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Plan says of which units a class's outbound side is made. It follows from lists: which services and
// hosts of VirtualServices are seen, and where headless services have pods. Its units follow from their
// part of it and from the rows that they read themselves. Routers send as their Gateways say, so that
// theirs has services only.
type Plan struct {
	// Problems of the plan itself.
	Problems []model.Problem

	class     *Class
	scope     *scope
	services  []*model.Service
	listeners map[string]*outbound
	routes    map[string]*routePlan
	// ruled are the hosts that VirtualServices name, sorted.
	ruled []string
}

// routePlan is the virtual hosts of a route configuration.
type routePlan struct {
	port uint32
	// proxied tells that they are for requests to an HTTP proxy, which name their port.
	proxied bool
	// sniffed is the service of unknown protocol whose listener has the routes. It gets what names none of the
	// services.
	sniffed *servicePort
	// services have a virtual host each; sorted by host. hosts are named by VirtualServices and by
	// no service.
	services []servicePort
	hosts    []otherHost // sorted
	order    []string    // all hosts; one list for all who have the plan
	// egress are the hosts of the egress listener of a Sidecar that has them; nil for all.
	egress *egressHosts
}

// NewPlan plans what a class sends.
func NewPlan(r Reader, c *Class) *Plan {
	p := &Plan{class: c, scope: newScope(r, c), listeners: map[string]*outbound{}, routes: map[string]*routePlan{}}
	p.services = p.scope.list(r, c)
	if c.Type == model.RouterProxy {
		return p
	}
	p.ruled = p.scope.hosts(r, c)
	services := p.scope.listened(p.services)
	b := &planner{view: p.view(r, nil), outbounds: map[socket]*outbound{}, http: map[uint32][]servicePort{}}
	others := newOtherHosts(r, c, p.scope, services)
	for _, o := range b.plan(services) {
		p.listeners[o.name()] = o
		if o.routes == "" || p.routes[o.routes] != nil {
			continue
		}
		route := &routePlan{port: o.port}
		switch {
		case o.proxies():
			route = p.scope.proxied(o, services)
		case o.sniff:
			route.sniffed = &o.tcp[0].servicePort
			route.port = cmp.Or(o.port, route.sniffed.port.Port) // a Unix socket has none
			for _, sp := range o.tcp[1:] {
				route.services = append(route.services, sp.servicePort)
			}
		default:
			route.services = b.http[o.port]
		}
		route.egress = o.hosts
		if !o.proxies() && !o.sniff {
			route.hosts = others.of(route)
		}
		route.order = route.list()
		p.routes[o.routes] = route
	}
	b.report(meshProblems(r)...)
	p.Problems = b.found()
	return p
}

// For gives the same plan for another class, which has the same Common part and of whose own nothing
// was looked for.
func (p *Plan) For(c *Class) *Plan {
	out := *p
	out.class = c
	return &out
}

// view gives what a unit may look at, of an egress listener of a Sidecar or, with nil, of all.
func (p *Plan) view(r Reader, egress *egressHosts) view {
	return view{r: r, c: p.class, scope: p.scope.within(egress)}
}

// Services gives the services of the plan, sorted by hostname.
func (p *Plan) Services() []*model.Service { return p.services }

// PassesUnknown tells whether what goes to unknown destinations is passed on to these as it came.
func (p *Plan) PassesUnknown() bool { return p.scope.allowAny && p.scope.proxy == "" }

// Listeners gives the names of the listeners of services, in order.
func (p *Plan) Listeners() []string { return slices.Sorted(maps.Keys(p.listeners)) }

// HasService tells whether there is a service of the hostname.
func (p *Plan) HasService(host string) bool {
	_, found := find(p.services, host, hostname)
	return found
}

// find searches a list that is sorted by name.
func find[T any](list []T, name string, of func(T) string) (out T, found bool) {
	at, found := slices.BinarySearchFunc(list, name, func(t T, name string) int { return strings.Compare(of(t), name) })
	if found {
		out = list[at]
	}
	return out, found
}

func hostname(svc *model.Service) string { return svc.Hostname }

// HasListener tells whether there is one of the Listeners.
func (p *Plan) HasListener(name string) bool { return p.listeners[name] != nil }

// HasRoutes tells whether there is one of the Routes.
func (p *Plan) HasRoutes(route string) bool { return p.routes[route] != nil }

// Served tells of a route configuration what patches may ask for: the port that clients address; 0 for any.
func (p *Plan) Served(route string) ServedRoutes {
	return ServedRoutes{Numbers: []uint32{p.routes[route].port}}
}

// HasHost tells whether there is one of the Hosts of a route configuration.
func (p *Plan) HasHost(route, host string) bool {
	rp := p.routes[route]
	if rp == nil {
		return false
	}
	_, other := find(rp.hosts, host, otherHost.key)
	return other || rp.find(host).service != nil || host == FallbackHost && rp.sniffed == nil
}

// Names gives the hosts that units look rules up by.
func (p *Plan) Names() []string {
	var out []string
	for _, svc := range p.services {
		out = append(out, svc.Hostname)
	}
	return append(out, p.ruled...)
}

// Ruled gives the hosts that VirtualServices name, sorted.
func (p *Plan) Ruled() []string { return p.ruled }

// HasRuled tells whether there is one of the Ruled.
func (p *Plan) HasRuled(host string) bool {
	_, found := slices.BinarySearch(p.ruled, host)
	return found
}

// References reports what is wrong with the VirtualServices of one of the Ruled.
func (p *Plan) References(r Reader, host string) []model.Problem {
	v := p.view(r, nil)
	v.reportNaming(host)
	return v.found()
}

// Listener makes one of the Listeners.
func (p *Plan) Listener(r Reader, name string) (*ir.Listener, []model.Problem) {
	o := p.listeners[name]
	b := &outboundBuilder{p.view(r, o.hosts)}
	return instrumentOutbound(&b.view, b.listener(o)), b.found()
}

// VirtualOutbound makes the listener that takes all that the workload sends.
func (p *Plan) VirtualOutbound(r Reader) *ir.Listener {
	v := p.view(r, nil)
	return instrumentOutbound(&v, virtualOutbound(r, p.class, p.scope))
}

// Routes gives the names of the route configurations, in order.
func (p *Plan) Routes() []string { return slices.Sorted(maps.Keys(p.routes)) }

// Hosts gives the hosts with a virtual host in a route configuration, in the order in which they stand
// there; the last is FallbackHost, unless a sniffed service has all that the others leave.
func (p *Plan) Hosts(route string) []string {
	if rp := p.routes[route]; rp != nil {
		return rp.order
	}
	return nil
}

// list gives the hosts in the order in which they stand.
func (rp *routePlan) list() []string {
	out := make([]string, 0, len(rp.services)+len(rp.hosts)+1)
	for _, sp := range rp.services {
		out = append(out, rp.host(sp))
	}
	if rp.sniffed != nil {
		return append(out, rp.sniffed.service.Hostname)
	}
	return append(append(out, rp.others()...), FallbackHost)
}

// FallbackHost stands for the virtual host that takes the requests for hosts which nothing else knows.
const FallbackHost = "*"

// find gives the service's port behind a virtual host; none for one of no service.
func (rp *routePlan) find(host string) servicePort {
	if rp.sniffed != nil && host == rp.sniffed.service.Hostname {
		return *rp.sniffed
	}
	sp, _ := find(rp.services, host, rp.host)
	return sp
}

// VirtualHost makes one of the Hosts; nil where no rule of any VirtualService applies to the class and
// there is no service.
func (p *Plan) VirtualHost(r Reader, route, host string) (*ir.VirtualHost, []model.Problem) {
	rp := p.routes[route]
	b := &routeBuilder{p.view(r, rp.egress), rp.port}
	var out *ir.VirtualHost
	switch sp := rp.find(host); {
	case rp.sniffed != nil && host == rp.sniffed.service.Hostname:
		out = b.sniffedHost(sp)
	case sp.service != nil && rp.proxied:
		b.port = sp.port.Port
		out = atPort(b.serviceHost(sp), b.port)
	case sp.service != nil:
		out = b.serviceHost(sp)
	case host == FallbackHost:
		return headersOfRoutes(p.class, fallback(p.scope, cmp.Or(rp.port, 80))), b.found()
	default:
		other, _ := find(rp.hosts, host, otherHost.key)
		out = b.otherHost(&other)
	}
	return headersOfRoutes(p.class, nameSpans(r.Mesh(), out)), b.found()
}

// ServiceClusters makes the clusters of one service that the class sends to.
func (p *Plan) ServiceClusters(r Reader, host string) ([]*ir.Cluster, []model.Problem) {
	b := &clusterBuilder{view: p.view(r, nil)}
	if svc := b.service(host); svc != nil {
		b.outbound(svc)
		if p.class.PassesMesh {
			b.passed(svc)
		}
	}
	return b.clusters, b.found()
}

// OwnClusters makes the clusters that belong to no service that the class sends to.
func OwnClusters(r Reader, c *Class) ([]*ir.Cluster, []model.Problem) {
	b := &clusterBuilder{view: view{r: r, c: c}}
	b.own()
	return b.clusters, b.found()
}

// Inbound makes the listener of all that a class of sidecars receives, and those of ports that nothing
// redirects to it.
func Inbound(r Reader, c *Class) ([]*ir.Listener, []model.Problem) {
	b := &inboundBuilder{view{r: r, c: c}, NewAuthorization(r, c)}
	b.report(b.who.problems...)
	all := append([]*ir.Listener{b.captured()}, b.bound()...)
	for _, l := range all {
		instrumentInbound(&b.view, l)
	}
	return all, b.found()
}

// portName gives the name of the route configuration of a port.
func portName(port uint32) string { return strconv.FormatUint(uint64(port), 10) }
