package resolve

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// GatewayPlan says of which units a class of routers serves. There is a listener for each address and port
// of its Gateways, and a route configuration for what shares routes. In that there is a virtual host for
// each host that a Gateway offers and a VirtualService names. It follows from the Gateways and from which
// hosts are bound to them; what the rules say is read by the virtual hosts and, where bytes are forwarded,
// by the listeners.
type GatewayPlan struct {
	// Problems of the Gateways.
	Problems []model.Problem

	class   *Class
	ports   map[string]*gatewayPort   // by name of the listener
	routes  map[string]*gatewayRoutes // by name
	secrets *SecretPlan
}

// NewGatewayPlan plans what a class of routers serves; sidecars serve nothing.
func NewGatewayPlan(r Reader, c *Class) *GatewayPlan {
	p := &GatewayPlan{class: c}
	if c.Type != model.RouterProxy {
		return p
	}
	p.ports, p.routes, p.secrets = map[string]*gatewayPort{}, map[string]*gatewayRoutes{}, &SecretPlan{c, map[string][]secretUse{}}
	for _, g := range p.gatewayPorts(r) {
		p.ports[g.name(c)] = g
		for _, s := range g.servers {
			if s.serves == servesHTTP || s.serves == servesHTTPS {
				p.addRoutes(r, g, s)
			}
			p.report(p.addSecrets(s)...)
		}
		p.addQUIC(c, g)
	}
	for _, routes := range p.routes {
		if len(routes.hosts) == 0 {
			routes.hosts[fallbackRoute] = &gatewayHost{}
		}
	}
	if c.Secrets {
		p.addDestinationSecrets(r)
	}
	p.report(meshProblems(r)...)
	p.Problems = sortProblems(p.Problems)
	return p
}

func (p *GatewayPlan) report(problems ...model.Problem) { p.Problems = append(p.Problems, problems...) }

// SecretPlan says which Secrets the class has.
func (p *GatewayPlan) SecretPlan() *SecretPlan { return p.secrets }

// addRoutes adds a server to the route configuration that its requests go by.
func (p *GatewayPlan) addRoutes(r Reader, g *gatewayPort, s *gatewayServer) {
	name := g.routesName(s)
	routes := p.routes[name]
	if routes == nil {
		routes = &gatewayRoutes{name: name, hosts: map[string]*gatewayHost{}}
		p.routes[name] = routes
		g.routes = append(g.routes, routes)
	}
	routes.servers = append(routes.servers, s)
	routes.served.add(s)
	routes.takeHosts(r, p.class, len(routes.servers)-1)
}

// takeHosts finds the hosts that a server shares with the VirtualServices that name its Gateway.
func (g *gatewayRoutes) takeHosts(r Reader, c *Class, server int) {
	s := g.servers[server]
	for _, bound := range r.BoundHosts(c.Namespace, s.name()) {
		namespace, host, _ := strings.Cut(bound, "/")
		for _, shared := range s.shares(namespace, host) {
			h := g.host(shared, s)
			h.rules = append(h.rules, boundHost{server, bound})
		}
	}
	if s.redirects() { // also what no VirtualService names
		for _, own := range s.hosts {
			g.host(own.host, s).redirect = true
		}
	}
}

// redirects tells whether a server sends clients to HTTPS.
func (s *gatewayServer) redirects() bool {
	return s.serves == servesHTTP && s.spec.GetTls().GetHttpsRedirect()
}

// host gives the virtual host of a name, which a server offers.
func (g *gatewayRoutes) host(name string, s *gatewayServer) *gatewayHost {
	h := g.hosts[name]
	if h == nil {
		h = &gatewayHost{name: name, port: s.number()}
		g.hosts[name] = h
	}
	return h
}

// number is the port of the server as clients know it.
func (s *gatewayServer) number() uint32 { return s.spec.GetPort().GetNumber() }

// name gives the Gateway as VirtualServices name it.
func (s *gatewayServer) name() string { return s.gateway.Namespace + "/" + s.gateway.Name }

// shares gives the hosts that the server and a host of a namespace's VirtualService both cover, the
// narrower of each pair, sorted.
func (s *gatewayServer) shares(namespace, host string) []string {
	var out []string
	for _, own := range s.hosts {
		if shared := own.shared(namespace, host); shared != "" {
			out = append(out, shared)
		}
	}
	return distinct(out)
}

// firstHost gives the first host that the server shares with those of a VirtualService; "" for none. It belongs to the
// Gateway as it is, which is looked at for whoever goes by the host alone.
func (s *gatewayServer) firstHost(r Reader, o *model.Object) string {
	r.Object(s.gateway.Key)
	for host := range hostsOf(r, o) {
		if shared := s.shares(o.Namespace, host); len(shared) > 0 {
			return shared[0]
		}
	}
	return ""
}

// shared gives the narrower of an entry and a host of a namespace's VirtualService where one covers the
// other, else "".
func (h hostIn) shared(namespace, host string) string {
	switch {
	case h.namespace != "*" && h.namespace != namespace:
		return ""
	case model.HostCovers(h.host, host):
		return host
	case model.HostCovers(host, h.host):
		return h.host
	}
	return ""
}

// Routes gives the names of the route configurations, in order.
func (p *GatewayPlan) Routes() []string { return slices.Sorted(maps.Keys(p.routes)) }

// Listeners gives the names of the listeners, in order.
func (p *GatewayPlan) Listeners() []string { return slices.Sorted(maps.Keys(p.ports)) }

// SameListener tells whether a listener is of the same servers as in another plan.
func (p *GatewayPlan) SameListener(other *GatewayPlan, name string) bool {
	a, b := p.ports[name], other.ports[name]
	return a != nil && b != nil && a.bind == b.bind && a.port == b.port && slices.EqualFunc(a.servers, b.servers, sameServer)
}

// Hosts gives the hosts with a virtual host in a route configuration, in order; the only one of a port
// without any is FallbackHost.
func (p *GatewayPlan) Hosts(route string) []string {
	if g := p.routes[route]; g != nil {
		return slices.Sorted(maps.Keys(g.hosts))
	}
	return nil
}

// fallbackRoute stands for the virtual host of a port on which nothing is served. It is no host.
const fallbackRoute = ""

// SameHost tells whether a virtual host follows from the same servers and bound hosts as in another
// plan.
func (p *GatewayPlan) SameHost(other *GatewayPlan, route, host string) bool {
	a, b := p.routes[route], other.routes[route]
	if a == nil || b == nil || !slices.EqualFunc(a.servers, b.servers, samePlace) {
		return false
	}
	x, y := a.hosts[host], b.hosts[host]
	return x != nil && y != nil && x.same(y)
}

// samePlace tells whether two servers are the same to the rules of VirtualServices.
func samePlace(a, b *gatewayServer) bool {
	return a.gateway.Key == b.gateway.Key && a.number() == b.number() && a.redirects() == b.redirects()
}

// sameServer tells whether two servers are the same in all that they say.
func sameServer(a, b *gatewayServer) bool {
	return samePlace(a, b) && a.field == b.field && (a.spec == b.spec || proto.Equal(a.spec, b.spec))
}

// VirtualHost makes one of the Hosts of a route configuration: the rules of all VirtualServices that
// are bound to it, server by server. It is nil where none of them has a rule for the gateway: what wildcards say
// then holds for the host.
func (p *GatewayPlan) VirtualHost(r Reader, route, host string) (*ir.VirtualHost, []model.Problem) {
	g := p.routes[route]
	if host == fallbackRoute {
		return &ir.VirtualHost{Name: hostPort("blackhole", g.servers[0].number()), Domains: []string{"*"}}, nil
	}
	h := g.hosts[host]
	out := &ir.VirtualHost{Name: hostPort(host, h.port), Domains: []string{host}, AttemptCount: true, RequireTLS: h.redirect, Alternative: alternative(p.class, g.servers[0])}
	v := view{r: r, c: p.class, scope: &scope{}}
	for of, rest := firstServer(h.rules); len(of) > 0; of, rest = firstServer(rest) {
		server := g.servers[of[0].server]
		for _, o := range p.bound(r, server, of) {
			vs := newVirtualService(r, o)
			s := &ruleSet{view: &v, vs: vs, port: server.number(), gateways: []string{server.name()}, secure: server.serves == servesHTTPS}
			routes := s.httpRoutes()
			out.Routes = append(out.Routes, routes...)
			out.RequireTLS = out.RequireTLS || server.redirects() && len(routes) > 0
			if server.firstHost(r, o) == host {
				v.reportObject(vs)
			}
		}
	}
	if len(out.Routes) == 0 && !h.redirect {
		return nil, v.found()
	}
	// A rule for every request would hide those of the VirtualServices after it.
	slices.SortStableFunc(out.Routes, func(x, y *ir.Route) int { return cmp.Compare(last(x), last(y)) })
	return headersOfRoutes(p.class, nameSpans(r.Mesh(), out)), v.found()
}

// firstServer gives those of a host's rules that are of the server of the first one, and those after them.
func firstServer(rules []boundHost) (of, rest []boundHost) {
	end := slices.IndexFunc(rules, func(b boundHost) bool { return b.server != rules[0].server })
	if end < 0 {
		end = len(rules)
	}
	return rules[:end], rules[end:]
}

// bound gives the VirtualServices that a server has for a host by its rules, in the order in which they count.
func (p *GatewayPlan) bound(r Reader, s *gatewayServer, rules []boundHost) []*model.Object {
	var out []*model.Object
	for _, rule := range rules {
		out = append(out, r.BoundVirtualServices(p.class.Namespace, s.name(), rule.host)...)
	}
	p.rank(r, out)
	return slices.Compact(out)
}

func last(r *ir.Route) int {
	if catchAll(r) {
		return 1
	}
	return 0
}
