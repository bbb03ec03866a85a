package resolve

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Routes gives every named route configuration of a class, sorted by name, and the problems
// found on the way.
func Routes(r Reader, c *Class) ([]*ir.RouteConfig, []model.Problem) {
	scope := Scope(r, c)
	if c.Type == model.RouterProxy {
		return gatewayRoutes(r, c, scope)
	}
	rules := indexVirtualServices(r, c, scope)
	plan, _ := outboundPlan(r, c, scope) // Listeners reports its problems
	problems := rules.conflicts()
	done := map[string]bool{}
	var out []*ir.RouteConfig
	for _, o := range plan {
		if o.routes == "" || done[o.routes] {
			continue
		}
		done[o.routes] = true
		b := &routeBuilder{r: r, c: c, scope: scope, rules: rules, port: o.port}
		out = append(out, b.config(o))
		problems = append(problems, b.problems...)
	}
	slices.SortFunc(out, func(a, b *ir.RouteConfig) int { return strings.Compare(a.Name, b.Name) })
	return out, sortProblems(problems)
}

// routeBuilder makes the route configuration of one port of a class of sidecars.
type routeBuilder struct {
	r        Reader
	c        *Class
	scope    *EgressScope
	rules    *virtualServices
	port     uint32
	problems []model.Problem
}

// config gives the virtual hosts of a listener: that of its only service where it is sniffed,
// else of all services with HTTP on the port.
func (b *routeBuilder) config(o *outbound) *ir.RouteConfig {
	out := &ir.RouteConfig{Name: o.routes}
	if o.sniff {
		out.VirtualHosts = []*ir.VirtualHost{b.sniffedHost(o)}
		return out
	}
	for _, svc := range b.scope.Services {
		if port := httpPort(svc, b.port); port != nil {
			out.VirtualHosts = append(out.VirtualHosts, b.serviceHost(servicePort{svc, port}))
		}
	}
	out.VirtualHosts = append(out.VirtualHosts, b.otherHosts()...)
	out.VirtualHosts = append(out.VirtualHosts, fallback(b.scope))
	out.VirtualHosts = UniqueDomains(out.VirtualHosts)
	return out
}

// sniffedHost takes every request on the listener of a lone service of unknown protocol.
func (b *routeBuilder) sniffedHost(o *outbound) *ir.VirtualHost {
	vh := b.serviceHost(o.tcp[0])
	vh.Domains = []string{"*"}
	return vh
}

// serviceHost gives the virtual host of one service: by the rules of its VirtualService, where one
// has any that apply here, else straight to the service.
func (b *routeBuilder) serviceHost(sp servicePort) *ir.VirtualHost {
	out := &ir.VirtualHost{
		Name:         hostPort(sp.service.Hostname, b.port),
		Domains:      b.domains(sp.service),
		AttemptCount: true,
	}
	if vs := b.rules.forHost(sp.service.Hostname); vs != nil {
		out.Routes = b.routes(vs)
	}
	if len(out.Routes) == 0 {
		out.Routes = []*ir.Route{b.defaultRoute(sp)}
	}
	return out
}

// otherHosts gives the hosts that VirtualServices name and no service has. They are known on
// port 80 only, since nothing says which other port they mean.
func (b *routeBuilder) otherHosts() []*ir.VirtualHost {
	if b.port != 80 {
		return nil
	}
	var out []*ir.VirtualHost
	done := map[string]bool{}
	for _, vs := range b.rules.ordered {
		for _, host := range vs.hosts {
			if done[host] || b.coversService(host) || !domainName(host) {
				continue
			}
			name := hostPort(host, b.port)
			if routes := b.routes(vs); len(routes) > 0 {
				done[host] = true
				out = append(out, &ir.VirtualHost{Name: name, Domains: []string{host}, Routes: routes, AttemptCount: true})
			}
		}
	}
	slices.SortFunc(out, func(a, b *ir.VirtualHost) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (b *routeBuilder) coversService(host string) bool {
	if !strings.HasPrefix(host, "*") {
		return b.scope.Service(host) != nil
	}
	return slices.ContainsFunc(b.scope.Services, func(svc *model.Service) bool { return hostCovers(host, svc.Hostname) })
}

func (b *routeBuilder) routes(vs *virtualService) []*ir.Route {
	s := &ruleSet{
		r: b.r, c: b.c, scope: b.scope, vs: vs, port: b.port, gateways: []string{meshGateway},
	}
	out := s.httpRoutes()
	b.problems = append(b.problems, s.problems...)
	return out
}

// defaultRoute sends every request to the service.
func (b *routeBuilder) defaultRoute(sp servicePort) *ir.Route {
	return &ir.Route{
		Name: "default",
		Forward: &ir.Forward{
			Clusters: []ir.WeightedCluster{{Name: model.ClusterName("outbound", b.port, "", sp.service.Hostname), Weight: 1}},
			Retry:    defaultRetry(b.r),
			Hash:     HashPolicies(b.r, b.c, sp.service, sp.port, ""),
		},
	}
}

// domains gives all names under which clients of the class know a service: in full, cut short by
// what the client's own domain shares with it, and its addresses. A headless service's pods have
// names below it.
func (b *routeBuilder) domains(svc *model.Service) []string {
	out := append([]string{svc.Hostname}, shortNames(svc.Hostname, b.c.DNSDomain)...)
	if svc.Headless {
		for _, name := range slices.Clone(out) {
			out = append(out, "*."+name)
		}
	}
	for _, ip := range svc.Addresses {
		if usable(b.c, ip) {
			if strings.Contains(ip, ":") {
				ip = "[" + ip + "]"
			}
			out = append(out, ip)
		}
	}
	return out
}

// shortNames gives the names that a resolver with the search domains of a pod completes to the
// host: in domain ns.svc.SUFFIX, host s.ns.svc.SUFFIX is s and s.ns too, and s.other.svc.SUFFIX
// is s.other; and either with .svc.
func shortNames(host, domain string) []string {
	_, suffix, ok := strings.Cut(domain, ".svc.")
	if !ok {
		return nil
	}
	short, ok := strings.CutSuffix(host, ".svc."+suffix)
	if !ok {
		return nil
	}
	name, namespace, ok := strings.Cut(short, ".")
	if !ok || strings.Contains(namespace, ".") {
		return nil
	}
	out := []string{short, short + ".svc"}
	if own, _, _ := strings.Cut(domain, "."); own == namespace {
		out = append([]string{name}, out...)
	}
	return out
}

// fallback takes the requests for hosts that nothing else knows: on to where the client wanted
// to go, or to an error.
func fallback(scope *EgressScope) *ir.VirtualHost {
	if !scope.AllowAny {
		return &ir.VirtualHost{Name: "block_all", Domains: []string{"*"}, AttemptCount: true, Routes: []*ir.Route{{
			Name: "block_all", Direct: &ir.DirectResponse{Status: 502},
		}}}
	}
	return &ir.VirtualHost{Name: "allow_any", Domains: []string{"*"}, AttemptCount: true, Routes: []*ir.Route{{
		Name: "allow_any", Forward: &ir.Forward{Clusters: []ir.WeightedCluster{{Name: model.PassthroughCluster, Weight: 1}}},
	}}}
}

// domainName tells whether a host of a VirtualService can be a domain of Envoy.
func domainName(host string) bool {
	return host != "" && singleLine(host) && !strings.Contains(strings.TrimPrefix(host, "*"), "*")
}

func hostPort(host string, port uint32) string {
	return host + ":" + strconv.FormatUint(uint64(port), 10)
}
