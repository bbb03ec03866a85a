package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// gatewayServer is one server of a Gateway object that selects the class.
type gatewayServer struct {
	gateway *model.Object
	field   string // spec.servers[i]
	spec    *networking.Server
	serves  service
	hosts   []hostIn
}

// service is what a server does with connections.
type service uint8

const (
	servesHTTP  service = iota // routes requests in the clear
	servesHTTPS                // routes requests within TLS
	servesTLS                  // forwards the bytes within TLS
	passesTLS                  // forwards TLS by the name in its handshake
	autoPasses                 // does that for every service, by the names that sidecars use
	servesTCP                  // forwards bytes
)

// family is what can share a port: requests in the clear, TLS, or bytes, which share it with nobody.
func (s service) family() string {
	switch s {
	case servesHTTP:
		return "HTTP"
	case servesTCP:
		return "TCP"
	}
	return "TLS"
}

// serviceOf tells what a server does, ok false for a protocol that no gateway has.
func serviceOf(spec *networking.Server) (_ service, ok bool) {
	tls := spec.GetTls()
	switch strings.ToUpper(spec.GetPort().GetProtocol()) {
	case "HTTP", "HTTP2", "GRPC", "GRPC-WEB":
		return servesHTTP, true
	case "TCP", "MONGO", "REDIS", "MYSQL":
		if tls == nil {
			return servesTCP, true
		}
	case "HTTPS":
		if mode := tls.GetMode(); mode != networking.ServerTLSSettings_PASSTHROUGH && mode != networking.ServerTLSSettings_AUTO_PASSTHROUGH {
			return servesHTTPS, true
		}
	case "TLS":
	default:
		return 0, false
	}
	switch tls.GetMode() {
	case networking.ServerTLSSettings_PASSTHROUGH:
		return passesTLS, true
	case networking.ServerTLSSettings_AUTO_PASSTHROUGH:
		return autoPasses, true
	}
	return servesTLS, true
}

// gatewayPort is all servers of one address and port.
type gatewayPort struct {
	bind    string
	port    uint32 // on which the proxy listens
	servers []*gatewayServer
	sole    map[hostIn]*gatewayServer // by its soleHosts
	routes  []*gatewayRoutes          // of the servers that route requests, in their order
	quic    bool                      // it is the port of UDP
}

// name is that of the port's listener.
func (g *gatewayPort) name(c *Class) string {
	name := listenerName(g.address(c), g.port)
	if g.quic {
		name = "udp_" + name
	}
	return name
}

func (g *gatewayPort) address(c *Class) string { return cmp.Or(g.bind, wildcard(c)) }

// gatewayRoutes is one route configuration: of all servers of a port in the clear, or of one with TLS.
type gatewayRoutes struct {
	name    string
	servers []*gatewayServer
	served  ServedRoutes
	hosts   map[string]*gatewayHost // with a virtual host each
}

// gatewayHost is what a virtual host of a gateway follows from.
type gatewayHost struct {
	name string
	// port is that of the first server which offers the host, as clients know it.
	port  uint32
	rules []boundHost // by server, then by namespace and host
	// redirect tells that a server names the host which sends clients to HTTPS.
	redirect bool
}

// boundHost is the VirtualServices of one namespace and host that a server takes.
type boundHost struct {
	server int    // among those of the port
	host   string // as Reader.BoundHosts has it
}

func (h *gatewayHost) same(o *gatewayHost) bool {
	return h.port == o.port && h.redirect == o.redirect && slices.Equal(h.rules, o.rules)
}

// routesName is the name of a server's route configuration, as Istio has it: http.port, or
// https.port.name.gateway.namespace with the port as clients know it, and the address where one is given.
func (g *gatewayPort) routesName(s *gatewayServer) string {
	name := "http." + portName(g.port)
	if s.serves == servesHTTPS {
		name = strings.Join([]string{"https", portName(s.number()), s.spec.GetPort().GetName(), s.gateway.Name, s.gateway.Namespace}, ".")
	}
	if g.bind != "" {
		name += "." + g.bind
	}
	return name
}

// grpcWeb tells whether one of the servers is of that protocol.
func (g *gatewayPort) grpcWeb() bool {
	return slices.ContainsFunc(g.servers, func(s *gatewayServer) bool {
		return strings.EqualFold(s.spec.GetPort().GetProtocol(), string(model.ProtocolGRPCWeb))
	})
}

// gatewayPorts groups the servers of the Gateway objects that select the class by address and
// port, and reports those that cannot be served.
func (p *GatewayPlan) gatewayPorts(r Reader) []*gatewayPort {
	ports := map[socket]*gatewayPort{}
	for _, key := range p.class.Gateways {
		o := r.Object(key)
		if o == nil {
			continue
		}
		p.report(o.Faults()...)
		for i, spec := range o.Spec.(*networking.Gateway).GetServers() {
			if problem := addServer(p.class, ports, newGatewayServer(o, i, spec)); problem != nil {
				p.report(*problem)
			}
		}
	}
	out := slices.Collect(maps.Values(ports))
	slices.SortFunc(out, func(a, b *gatewayPort) int {
		return cmp.Or(cmp.Compare(a.port, b.port), strings.Compare(a.bind, b.bind))
	})
	return out
}

// addServer puts a server to those of its address and port, unless it cannot share that with them.
func addServer(c *Class, ports map[socket]*gatewayPort, s *gatewayServer) *model.Problem {
	if b := s.spec.GetBind(); b != "" && model.KindOfAddress(b) != model.AddressIP {
		p := s.gateway.WarningAt(s.field+".bind", model.ReasonNotTranslated, "only IP addresses are translated; the server is left out")
		return &p
	}
	bind, port := bindAddress(c, s.spec.GetBind()), listeningPort(c, s.number())
	if bind == wildcard(c) {
		bind = "" // with and without it, it is one listener
	}
	if model.ReservedPort(port) {
		return s.conflict(".port.number", "the proxy or its agent itself listens on port %d; choose another", port)
	}
	if !c.opens(port) {
		return s.conflict(".port.number", "%s", tooLow(port))
	}
	g := ports[socket{bind, port}]
	if g == nil {
		g = &gatewayPort{bind: bind, port: port, sole: map[hostIn]*gatewayServer{}}
		ports[socket{bind, port}] = g
	}
	if problem := g.refuses(s); problem != nil {
		return problem
	}
	g.servers = append(g.servers, s)
	for _, h := range s.soleHosts() {
		g.sole[h] = s
	}
	return nil
}

// refuses tells why a server cannot share the port with those before it, which are older. The name in a TLS handshake
// leads to one of them. In the clear a host may be said of several times, but only once that it redirects to TLS.
func (g *gatewayPort) refuses(s *gatewayServer) *model.Problem {
	if len(g.servers) == 0 {
		return nil
	}
	first := g.servers[0]
	family := first.serves.family()
	switch {
	case family != s.serves.family():
		return s.conflict(".port.protocol", "%s %s has %s for %s; use another port", first.gateway.Key, first.field, s.shared(first), family)
	case family == "TCP":
		return s.conflict(".port.number", "%s %s has %s, and bytes do not tell whose they are; use another port", first.gateway.Key, first.field, s.shared(first))
	}
	why := "the name in the TLS handshake leads to one server"
	if s.serves == servesHTTP {
		why = "both have tls"
	}
	for i, h := range s.soleHosts() {
		if other := g.sole[h]; other != nil {
			return s.conflict(fmt.Sprintf(".hosts[%d]", i), "%s %s has the host %s on %s, and %s; keep it in one of them", other.gateway.Key, other.field, h.host, s.shared(other), why)
		}
	}
	return nil
}

// shared names the port of another server that leads to the same one of the gateway's pods. Users know the numbers that
// they wrote, not where the Service leads.
func (s *gatewayServer) shared(other *gatewayServer) string {
	out := fmt.Sprintf("port %d", other.number())
	if s.number() != other.number() {
		out += fmt.Sprintf(", which leads to the same port of the pods as %d", s.number())
	}
	return out
}

// soleHosts gives the hosts that no other server of the port may have: names in TLS handshakes, whatever their namespaces,
// and those of which a server in the clear says something of TLS, which is to redirect.
func (s *gatewayServer) soleHosts() []hostIn {
	switch {
	case s.serves.family() == "TLS":
		out := slices.Clone(s.hosts)
		for i := range out {
			out[i].namespace = ""
		}
		return out
	case s.serves == servesHTTP && s.spec.GetTls() != nil:
		return s.hosts
	}
	return nil
}

// conflict reports a server that cannot be had beside another.
func (s *gatewayServer) conflict(field, format string, args ...any) *model.Problem {
	p := s.gateway.ErrorAt(s.field+field, model.ReasonConflict, fmt.Sprintf(format, args...)+", until then the server is left out")
	return &p
}

// listeningPort translates the port of a gateway's Service, which servers name, to the port on
// which its pods listen; a port that no Service stands for stays as it is.
func listeningPort(c *Class, port uint32) uint32 {
	for _, in := range c.Inbound {
		if in.Port == port && !in.Untranslated {
			return in.TargetPort
		}
	}
	return port
}

func newGatewayServer(o *model.Object, i int, spec *networking.Server) *gatewayServer {
	s := &gatewayServer{gateway: o, field: fmt.Sprintf("spec.servers[%d]", i), spec: spec}
	s.serves, _ = serviceOf(spec)
	for _, h := range spec.GetHosts() {
		s.hosts = append(s.hosts, newHostIn(o.Namespace, h))
	}
	return s
}

// edgeLimits are those of Envoy's guide "Configuring Envoy as an edge proxy", but for the short idle
// timeout of streams and the small buffers, which break streams and requests with large bodies.
func edgeLimits() ir.HTTPLimits {
	headers := 10 * time.Second
	return ir.HTTPLimits{Headers: &headers, MaxStreams: 100, StreamWindow: 64 << 10, ConnectionWindow: 1 << 20}
}
