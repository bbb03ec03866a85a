package resolve

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// gatewayServer is one HTTP server of a Gateway object that selects the class.
type gatewayServer struct {
	gateway *model.Object
	field   string // spec.servers[i]
	spec    *networking.Server
	hosts   []serverHost
}

// serverHost is one entry of a server's hosts: ns/host, "." or "*" for the namespace.
type serverHost struct{ namespace, host string }

// gatewayPort is all servers of one address and port; their hosts share one route configuration.
type gatewayPort struct {
	bind    string
	port    uint32 // on which the proxy listens
	servers []gatewayServer
}

// routes is the name of the port's route configuration: http.port, with the address where one
// is given.
func (g *gatewayPort) routes() string {
	name := "http." + strconv.FormatUint(uint64(g.port), 10)
	if g.bind != "" {
		name += "." + g.bind
	}
	return name
}

// public is the port as clients know it, that of the oldest server.
func (g *gatewayPort) public() uint32 { return g.servers[0].spec.GetPort().GetNumber() }

// gatewayPorts groups the servers of the Gateway objects that select the class by address and
// port, and reports those that cannot be served.
func gatewayPorts(r Reader, c *Class) ([]*gatewayPort, []model.Problem) {
	var out []*gatewayPort
	var problems []model.Problem
	for _, o := range r.Gateways() {
		spec, ok := o.Spec.(*networking.Gateway)
		if !ok || !slices.Contains(c.Gateways, o.Key) {
			continue
		}
		for i, server := range spec.GetServers() {
			s, problem := newGatewayServer(o, i, server)
			if problem != nil {
				problems = append(problems, *problem)
				continue
			}
			bind, port := server.GetBind(), listeningPort(c, server.GetPort().GetNumber())
			if model.ReservedPort(port) {
				problems = append(problems, reserved(s, port))
				continue
			}
			at := slices.IndexFunc(out, func(g *gatewayPort) bool { return g.bind == bind && g.port == port })
			if at < 0 {
				at = len(out)
				out = append(out, &gatewayPort{bind: bind, port: port})
			}
			out[at].servers = append(out[at].servers, s)
		}
	}
	slices.SortFunc(out, func(a, b *gatewayPort) int {
		return cmp.Or(cmp.Compare(a.port, b.port), strings.Compare(a.bind, b.bind))
	})
	return out, problems
}

// reserved reports a server on a port that the proxy itself or its agent listens on.
func reserved(s gatewayServer, port uint32) model.Problem {
	return model.Problem{
		Object: s.gateway.Key, Field: s.field + ".port.number", Severity: model.SeverityError, Reason: model.ReasonConflict, Origin: s.gateway.Origin,
		Message: fmt.Sprintf("the proxy or its agent itself listens on port %d; choose another, until then the server is left out", port),
	}
}

// listeningPort translates the port of a gateway's Service, which servers name, to the port on
// which its pods listen; a port that no Service has stays as it is.
func listeningPort(c *Class, port uint32) uint32 {
	for _, in := range c.Inbound {
		if in.Port == port {
			return in.TargetPort
		}
	}
	return port
}

func newGatewayServer(o *model.Object, i int, spec *networking.Server) (gatewayServer, *model.Problem) {
	s := gatewayServer{gateway: o, field: fmt.Sprintf("spec.servers[%d]", i), spec: spec}
	fail := func(field string, severity model.Severity, reason model.Reason, message string) (gatewayServer, *model.Problem) {
		return s, &model.Problem{Object: o.Key, Field: s.field + field, Severity: severity, Reason: reason, Message: message, Origin: o.Origin}
	}
	number := spec.GetPort().GetNumber()
	if number == 0 || number > 65535 {
		return fail(".port.number", model.SeverityError, model.ReasonInvalid, "a port is between 1 and 65535; the server is left out")
	}
	if bind := spec.GetBind(); bind != "" {
		if ip, err := netip.ParseAddr(bind); err != nil || ip.Zone() != "" {
			return fail(".bind", model.SeverityWarning, model.ReasonNotTranslated, "only IP addresses are translated; the server is left out")
		}
	}
	switch protocol := strings.ToUpper(spec.GetPort().GetProtocol()); protocol {
	case "HTTP", "HTTP2", "GRPC", "GRPC-WEB":
	case "HTTPS", "TLS", "TCP", "MONGO":
		return fail(".port.protocol", model.SeverityWarning, model.ReasonNotTranslated, "servers of protocol "+protocol+" are not translated, only HTTP, HTTP2 and GRPC; the server is left out")
	default:
		return fail(".port.protocol", model.SeverityError, model.ReasonInvalid, strconv.Quote(spec.GetPort().GetProtocol())+" is no protocol of a gateway; write HTTP, HTTP2 or GRPC, until then the server is left out")
	}
	for j, h := range spec.GetHosts() {
		host := serverHost{"*", h}
		if ns, name, ok := strings.Cut(h, "/"); ok {
			host = serverHost{ns, name}
		}
		if host.namespace == "." {
			host.namespace = o.Namespace
		}
		if !domainName(host.host) {
			return fail(fmt.Sprintf(".hosts[%d]", j), model.SeverityError, model.ReasonInvalid, strconv.Quote(h)+" is no host; write a name, *.name or *, until then the server is left out")
		}
		s.hosts = append(s.hosts, host)
	}
	return s, nil
}

// gatewayName completes the name of a gateway in a VirtualService: "mesh", ns/name, or a name in
// the VirtualService's own namespace.
func gatewayName(name, namespace string) string {
	if name == meshGateway || strings.Contains(name, "/") {
		return name
	}
	return namespace + "/" + name
}

// gatewayListeners gives a listener for each port of a class of routers.
func gatewayListeners(r Reader, c *Class) ([]*ir.Listener, []model.Problem) {
	ports, problems := gatewayPorts(r, c)
	out := make([]*ir.Listener, 0, len(ports))
	for _, g := range ports {
		out = append(out, gatewayListener(r, c, g))
	}
	slices.SortFunc(out, byListenerName)
	return out, sortProblems(append(problems, meshProblems(r)...))
}

func gatewayListener(r Reader, c *Class, g *gatewayPort) *ir.Listener {
	address := g.bind
	if address == "" {
		address = wildcard(c)
	}
	name := listenerName(address, g.port)
	return &ir.Listener{
		Name: name, Address: address, Port: g.port, BindToPort: true, AccessLog: noRouteLog(r),
		Chains: []*ir.FilterChain{{HTTP: &ir.HTTPConnectionManager{
			StatPrefix:       "outbound_" + name + ";",
			RouteConfigName:  g.routes(),
			ClientCert:       ir.ClientCertSanitizeSet,
			UseRemoteAddress: true,
			ServerName:       serverName,
			ClusterALPN:      true,
			Path:             pathNormalization(r),
			AccessLog:        accessLog(r),
		}}},
	}
}

// gatewayRoutes gives a route configuration for each port of a class of routers.
func gatewayRoutes(r Reader, c *Class, scope *EgressScope) ([]*ir.RouteConfig, []model.Problem) {
	ports, _ := gatewayPorts(r, c) // Listeners reports its problems
	var services []*virtualService
	for _, o := range scope.VirtualServices {
		services = append(services, newVirtualService(r, c, o))
	}
	var out []*ir.RouteConfig
	var problems []model.Problem
	for _, g := range ports {
		b := &gatewayBuilder{r: r, c: c, scope: scope, port: g, hosts: map[string]*ir.VirtualHost{}}
		out = append(out, b.config(services))
		problems = append(problems, b.problems...)
	}
	slices.SortFunc(out, func(a, b *ir.RouteConfig) int { return strings.Compare(a.Name, b.Name) })
	return out, sortProblems(problems)
}

// gatewayBuilder makes the route configuration of one port of a gateway.
type gatewayBuilder struct {
	r        Reader
	c        *Class
	scope    *EgressScope
	port     *gatewayPort
	hosts    map[string]*ir.VirtualHost
	problems []model.Problem
}

// config merges the rules of all VirtualServices that are bound to a server of the port, by host,
// the oldest first. A host that none names is not served.
func (b *gatewayBuilder) config(services []*virtualService) *ir.RouteConfig {
	for _, server := range b.port.servers {
		name := server.gateway.Namespace + "/" + server.gateway.Name
		for _, vs := range services {
			if slices.ContainsFunc(vs.spec.GetGateways(), func(g string) bool { return gatewayName(g, vs.Namespace) == name }) {
				b.bind(server, name, vs)
			}
		}
		if server.spec.GetTls().GetHttpsRedirect() {
			for _, h := range server.hosts {
				b.host(h.host).RequireTLS = true
			}
		}
	}
	out := &ir.RouteConfig{Name: b.port.routes()}
	for _, vh := range b.hosts {
		// A rule for every request would hide those of the VirtualServices after it.
		slices.SortStableFunc(vh.Routes, func(x, y *ir.Route) int { return cmp.Compare(last(x), last(y)) })
		out.VirtualHosts = append(out.VirtualHosts, vh)
	}
	slices.SortFunc(out.VirtualHosts, func(x, y *ir.VirtualHost) int { return strings.Compare(x.Name, y.Name) })
	out.VirtualHosts = UniqueDomains(out.VirtualHosts)
	if len(out.VirtualHosts) == 0 {
		out.VirtualHosts = []*ir.VirtualHost{{Name: hostPort("blackhole", b.port.public()), Domains: []string{"*"}}}
	}
	return out
}

func last(r *ir.Route) int {
	if catchAll(r) {
		return 1
	}
	return 0
}

// bind adds a VirtualService's rules to the hosts that it shares with a server.
func (b *gatewayBuilder) bind(server gatewayServer, gateway string, vs *virtualService) {
	shared := sharedHosts(server.hosts, vs)
	if len(shared) == 0 {
		return
	}
	for _, host := range shared {
		vh := b.host(host)
		s := &ruleSet{
			r: b.r, c: b.c, scope: b.scope, vs: vs, port: server.spec.GetPort().GetNumber(),
			gateways: []string{gateway},
		}
		vh.Routes = append(vh.Routes, s.httpRoutes()...)
		b.problems = append(b.problems, s.problems...)
	}
}

func (b *gatewayBuilder) host(host string) *ir.VirtualHost {
	vh := b.hosts[host]
	if vh == nil {
		vh = &ir.VirtualHost{Name: hostPort(host, b.port.public()), Domains: []string{host}, AttemptCount: true}
		b.hosts[host] = vh
	}
	return vh
}

// sharedHosts gives the hosts that both sides cover, the narrower of each pair, sorted.
func sharedHosts(server []serverHost, vs *virtualService) []string {
	var out []string
	for _, s := range server {
		if s.namespace != "*" && s.namespace != vs.Namespace {
			continue
		}
		for _, host := range vs.hosts {
			switch {
			case !domainName(host):
			case hostCovers(s.host, host):
				out = append(out, host)
			case hostCovers(host, s.host):
				out = append(out, s.host)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
