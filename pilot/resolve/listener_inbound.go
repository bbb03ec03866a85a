package resolve

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// What clients with a sidecar offer by ALPN tells what is inside their mutual TLS.
var (
	mutualHTTP = []string{"istio-http/1.0", "istio-http/1.1", "istio-h2"}
	mutualTCP  = []string{"istio-peer-exchange", "istio"}
	mutualAny  = slices.Concat(mutualTCP, mutualHTTP)
)

// inbound is one port on which the workload gets traffic, or, without a number, all others.
type inbound struct {
	port     uint32
	protocol model.Protocol
	mtls     ir.MTLSMode
	cluster  string
	stats    string                 // prefix of the statistics of requests
	names    func(http bool) string // of filter chains
	host     string                 // name of the virtual host
	tls      *ir.DownstreamTLS      // that clients from outside the mesh speak; nil for none
	greets   bool                   // the server speaks before its clients do
	// idle is how long a connection of no HTTP may be idle; nil for Envoy's own.
	idle *time.Duration
}

// virtualInbound takes all that the workload gets, with chains for each port of its services and
// for the rest.
func virtualInbound(r Reader, c *Class, who *Authorization) (*ir.Listener, []model.Problem) {
	port := inboundPort(r)
	ports, problems := inboundTargets(r, c)
	timeout := waitForTLS(r, ports...)
	out := &ir.Listener{
		Name: model.VirtualInboundListener, Address: wildcard(c), Port: port, Direction: ir.DirectionInbound,
		BindToPort: true, InspectTimeout: &timeout,
		Chains: []*ir.FilterChain{{
			// Connections to the port itself would go round in circles.
			Name:    model.VirtualInboundListener + "-blackhole",
			Match:   ir.ChainMatch{DestinationPort: port},
			Filters: terminal(tcpTo(model.BlackHoleCluster)),
		}},
	}
	var tls ir.TLSInspector
	var http ir.HTTPInspector
	for _, in := range ports {
		out.Chains = append(out.Chains, inboundChains(r, who, in)...)
		if in.port == 0 {
			continue
		}
		if in.mtls == ir.MTLSDisable && in.protocol != model.ProtocolAuto && in.tls == nil {
			tls.DisabledPorts = append(tls.DisabledPorts, in.port)
		}
		if in.protocol != model.ProtocolAuto {
			http.DisabledPorts = append(http.DisabledPorts, in.port)
		}
	}
	slices.Sort(tls.DisabledPorts)
	slices.Sort(http.DisabledPorts)
	out.Filters = []ir.ListenerFilter{ir.OriginalDst{}, tls, http}
	return out, problems
}

// greetingTimeout is how long a client may be silent before it counts as one without TLS, where a server may have to
// speak first to it. A client that speaks first has begun its handshake long before. It holds for all ports of the
// workload, since Envoy has one for each listener, so it is set only where it has to be. (Istio waits for ever.)
const greetingTimeout = time.Second

// waitForTLS gives how long a listener of such ports waits for what tells TLS; 0 is for ever.
func waitForTLS(r Reader, ports ...inbound) time.Duration {
	timeout := inspectTimeout(r)
	if timeout == 0 && slices.ContainsFunc(ports, inbound.mayWait) {
		return greetingTimeout
	}
	return timeout
}

// mayWait tells whether client and server of a port may wait for each other: TLS is told by what the client sends first.
func (in inbound) mayWait() bool { return in.greets && in.mtls == ir.MTLSPermissive && in.tls == nil }

// greets tells whether the servers of a port speak first, as its protocol or, where that is not said, its number tells.
func greets(in InboundPort) bool {
	return in.Protocol == model.ProtocolMySQL || in.Protocol == model.ProtocolTCP && (in.Port == model.PortSMTP || in.Port == model.PortMySQL)
}

// inboundTargets lists the ports of the workload's services, those with a setting of mutual
// TLS of their own, and at last all others. Of several services with one target port the first
// decides the protocol.
func inboundTargets(r Reader, c *Class) ([]inbound, []model.Problem) {
	var out []inbound
	var problems []model.Problem
	first := map[uint32]InboundPort{}
	ingress, _ := ingressOf(r, c) // boundIngress reports those that are left out
	for _, in := range ingress {
		if in.bound(c) {
			continue
		}
		t, more := in.target(r, c)
		problems = append(problems, more...)
		first[t.port] = InboundPort{}
		out = append(out, t)
	}
	for _, in := range c.Inbound {
		if len(ingress) > 0 {
			break
		}
		if other, taken := first[in.TargetPort]; taken {
			if other.Protocol != in.Protocol {
				problems = append(problems, protocolConflict(in, other))
			}
			continue
		}
		first[in.TargetPort] = in
		out = append(out, servicePortInbound(r, c, in))
	}
	for _, port := range InboundMTLSPorts(r, c) {
		if _, taken := first[port]; !taken {
			out = append(out, otherInbound(r, c, port))
		}
	}
	return append(out, otherInbound(r, c, 0)), problems
}

func protocolConflict(in, other InboundPort) model.Problem {
	return model.Problem{
		Object: in.Service, Field: fmt.Sprintf("spec.ports[port=%d]", in.Port), Severity: model.SeverityWarning, Reason: model.ReasonInboundConflict,
		Message: fmt.Sprintf("service %s serves target port %d as protocol %s; give both ports the same protocol", other.Host, in.TargetPort, protocolName(other.Protocol)),
	}
}

func protocolName(p model.Protocol) string {
	if p == model.ProtocolAuto {
		return "unknown"
	}
	return string(p)
}

func servicePortInbound(r Reader, c *Class, in InboundPort) inbound {
	pool, _ := inboundPool(r, c, in)
	return inbound{
		port: in.TargetPort, protocol: in.Protocol, mtls: InboundMTLS(r, c, in.TargetPort).Mode,
		cluster: model.ClusterName("inbound", in.TargetPort, "", ""),
		stats:   "inbound_" + listenerName(wildcardIPv4, in.TargetPort),
		names:   func(bool) string { return listenerName(wildcard(c), in.TargetPort) },
		host:    "inbound|http|" + strconv.FormatUint(uint64(in.Port), 10),
		idle:    idleTimeout(pool),
		greets:  greets(in),
	}
}

func otherInbound(r Reader, c *Class, port uint32) inbound {
	return inbound{
		port: port, protocol: model.ProtocolAuto, mtls: InboundMTLS(r, c, port).Mode,
		cluster: model.InboundPassthroughCluster, stats: model.InboundPassthroughCluster,
		names: func(http bool) string {
			if http {
				return model.VirtualInboundListener + "-catchall-http"
			}
			return model.VirtualInboundListener
		},
		host: "inbound|http|" + strconv.FormatUint(uint64(port), 10),
	}
}

// inboundKind is one way in which connections to a port may arrive.
type inboundKind struct {
	transport string
	alpn      []string
	mutual    bool // mutual TLS of the mesh is terminated
	http      bool
}

// kinds lists the ways that the port's protocol and mode leave open; every other is refused. An
// unknown protocol is told by ALPN, or by the first bytes of what is in the clear.
func (in inbound) kinds() []inboundKind {
	var disabled, strict, permissive []inboundKind
	if in.tls != nil {
		return []inboundKind{{transport: ir.TransportTLS, http: in.protocol.IsHTTP()}}
	}
	switch {
	case in.protocol.IsHTTP():
		disabled = []inboundKind{{http: true}}
		strict = []inboundKind{{transport: ir.TransportTLS, mutual: true, http: true}}
		permissive = []inboundKind{
			{transport: ir.TransportTLS, alpn: mutualAny, mutual: true, http: true},
			{transport: ir.TransportRaw, http: true},
		}
	case in.protocol == model.ProtocolAuto:
		disabled = []inboundKind{
			{transport: ir.TransportRaw, alpn: plaintextHTTP, http: true},
			{transport: ir.TransportRaw},
			{transport: ir.TransportTLS}, // the application's own
		}
		strict = []inboundKind{
			{transport: ir.TransportTLS, alpn: mutualHTTP, mutual: true, http: true},
			{transport: ir.TransportTLS, mutual: true},
		}
		permissive = []inboundKind{
			{transport: ir.TransportTLS, alpn: mutualHTTP, mutual: true, http: true},
			{transport: ir.TransportRaw, alpn: plaintextHTTP, http: true},
			{transport: ir.TransportTLS, alpn: mutualTCP, mutual: true},
			{transport: ir.TransportRaw},
			{transport: ir.TransportTLS}, // the application's own
		}
	default:
		disabled = []inboundKind{{}}
		strict = []inboundKind{{transport: ir.TransportTLS, mutual: true}}
		permissive = []inboundKind{
			{transport: ir.TransportTLS, alpn: mutualTCP, mutual: true},
			{transport: ir.TransportRaw},
			{transport: ir.TransportTLS}, // the application's own
		}
	}
	switch in.mtls {
	case ir.MTLSStrict:
		return strict
	case ir.MTLSDisable:
		return disabled
	}
	return permissive
}

func inboundChains(r Reader, who *Authorization, in inbound) []*ir.FilterChain {
	var out []*ir.FilterChain
	for _, k := range in.kinds() {
		chain := &ir.FilterChain{
			Name:  in.names(k.http),
			Match: ir.ChainMatch{DestinationPort: in.port, TransportProtocol: k.transport, ApplicationProtocols: k.alpn},
		}
		if chain.TLS = in.tls; k.mutual {
			chain.TLS = InboundTLS(r)
		}
		if k.http {
			chain.Filters = terminal(inboundHTTP(r, who, in))
		} else {
			proxy := tcpTo(in.cluster)
			proxy.Policy.IdleTimeout = in.idle
			chain.Filters = who.guard(terminal(proxy))
		}
		out = append(out, chain)
	}
	return out
}

// inboundHTTP passes requests on to the workload, with the peer's identity in a header.
func inboundHTTP(r Reader, who *Authorization, in inbound) *ir.HTTPConnectionManager {
	forward := &ir.Forward{Clusters: []ir.WeightedCluster{{Name: in.cluster, Weight: 1}}}
	if in.protocol != model.ProtocolGRPC && in.protocol != model.ProtocolGRPCWeb { // streams of gRPC may have been answered by then, as in Istio
		forward.Retry = &ir.Retry{Attempts: defaultAttempts, On: []string{"reset-before-request"}}
	}
	return &ir.HTTPConnectionManager{
		StatPrefix: in.stats + ";",
		Routes: &ir.RouteConfig{Name: in.cluster, VirtualHosts: []*ir.VirtualHost{{
			Name: in.host, Domains: []string{"*"}, Routes: []*ir.Route{{Name: "default", Forward: forward}},
		}}},
		Denials:     who.denials,
		Filters:     httpFilters(who, grpcWeb(in.protocol == model.ProtocolGRPCWeb)...),
		ClientCert:  ir.ClientCertAppendForward,
		CertDetails: ir.CertDetails{Subject: true, DNS: true, URI: true},
		ServerName:  serverName,
		Path:        pathNormalization(r),
		// Clients' proxies send WebSocket so where h2UpgradePolicy asks for HTTP/2.
		ExtendedConnect: true,
	}
}
