package resolve

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

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

// newServerHost reads an entry of a Gateway of a namespace.
func newServerHost(namespace, entry string) serverHost {
	out := serverHost{"*", entry}
	if ns, name, ok := strings.Cut(entry, "/"); ok {
		out = serverHost{ns, name}
	}
	if out.namespace == "." {
		out.namespace = namespace
	}
	out.host = model.CanonicalHost(out.host)
	return out
}

// gatewayPort is all servers of one address and port; their hosts share one route configuration.
type gatewayPort struct {
	bind    string
	port    uint32 // on which the proxy listens
	servers []gatewayServer
	hosts   map[string]*gatewayHost // with a virtual host each
}

// gatewayHost is what a virtual host of a gateway follows from.
type gatewayHost struct {
	name string
	// port is that of the first server which offers the host, as clients know it.
	port  uint32
	rules []boundHost // by server, then by namespace and host
	// redirect tells that a server which covers the host sends clients to HTTPS.
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

// routes is the name of the port's route configuration: http.port, with the address where one
// is given.
func (g *gatewayPort) routes() string {
	name := "http." + strconv.FormatUint(uint64(g.port), 10)
	if g.bind != "" {
		name += "." + g.bind
	}
	return name
}

// grpcWeb tells whether one of the servers is of that protocol.
func (g *gatewayPort) grpcWeb() bool {
	return slices.ContainsFunc(g.servers, func(s gatewayServer) bool {
		return strings.EqualFold(s.spec.GetPort().GetProtocol(), string(model.ProtocolGRPCWeb))
	})
}

// gatewayPorts groups the servers of the Gateway objects that select the class by address and
// port, and reports those that cannot be served.
func gatewayPorts(r Reader, c *Class) ([]*gatewayPort, []model.Problem) {
	var out []*gatewayPort
	var problems []model.Problem
	for _, key := range c.Gateways {
		o := r.Object(key)
		if o == nil {
			continue
		}
		for i, server := range o.Spec.(*networking.Gateway).GetServers() {
			switch strings.ToUpper(server.GetPort().GetProtocol()) {
			case "HTTPS", "TLS", "TCP", "MONGO", "REDIS", "MYSQL":
				continue // not translated; the source reports it
			}
			s, problem := newGatewayServer(o, i, server)
			if problem != nil {
				problems = append(problems, *problem)
				continue
			}
			bind, port := server.GetBind(), listeningPort(c, server.GetPort().GetNumber())
			if bind == wildcard(c) {
				bind = "" // both are one listener
			}
			if model.ReservedPort(port) {
				problems = append(problems, reserved(s, port))
				continue
			}
			at := slices.IndexFunc(out, func(g *gatewayPort) bool { return g.bind == bind && g.port == port })
			if at < 0 {
				at = len(out)
				out = append(out, &gatewayPort{bind: bind, port: port, hosts: map[string]*gatewayHost{}})
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
	switch strings.ToUpper(spec.GetPort().GetProtocol()) {
	case "HTTP", "HTTP2", "GRPC", "GRPC-WEB":
	default:
		return fail(".port.protocol", model.SeverityError, model.ReasonInvalid, strconv.Quote(spec.GetPort().GetProtocol())+" is no protocol of a gateway; write HTTP, HTTP2 or GRPC, until then the server is left out")
	}
	for j, h := range spec.GetHosts() {
		host := newServerHost(o.Namespace, h)
		if !domainName(host.host) {
			return fail(fmt.Sprintf(".hosts[%d]", j), model.SeverityError, model.ReasonInvalid, strconv.Quote(h)+" is no host; write a name, *.name or *, until then the server is left out")
		}
		s.hosts = append(s.hosts, host)
	}
	return s, nil
}

func gatewayListener(r Reader, c *Class, g *gatewayPort) *ir.Listener {
	address := g.bind
	if address == "" {
		address = wildcard(c)
	}
	name := listenerName(address, g.port)
	return &ir.Listener{
		Name: name, Address: address, Port: g.port, BindToPort: true, AccessLog: noRouteLog(r),
		Chains: []*ir.FilterChain{{Filters: terminal(&ir.HTTPConnectionManager{
			StatPrefix:       "outbound_" + name + ";",
			RouteConfigName:  g.routes(),
			ClientCert:       ir.ClientCertSanitizeSet,
			UseRemoteAddress: true,
			ServerName:       serverName,
			Filters:          httpFilters(NewAuthorization(r, c), append(grpcWeb(g.grpcWeb()), clusterALPN())...),
			Path:             pathNormalization(r),
			AccessLog:        accessLog(r),
			Limits:           edgeLimits(),
		})}},
	}
}

// edgeLimits are those of Envoy's guide "Configuring Envoy as an edge proxy", but for the short idle
// timeout of streams and the small buffers, which break streams and requests with large bodies.
func edgeLimits() *ir.HTTPLimits {
	return &ir.HTTPLimits{HeadersTimeout: 10 * time.Second, MaxStreams: 100, StreamWindow: 64 << 10, ConnectionWindow: 1 << 20}
}
