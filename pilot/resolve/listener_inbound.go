package resolve

import (
	"cmp"
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
	stats    string            // prefix of the statistics of requests
	name     string            // of filter chains
	httpName string            // of those for requests; "" for the same
	host     string            // name of the virtual host
	tls      *ir.DownstreamTLS // that clients from outside the mesh speak; nil for none
	greets   bool              // the server speaks before its clients do
	// idle is how long a connection of no HTTP may be idle; nil for Envoy's own.
	idle *time.Duration
}

// inboundBuilder makes the listeners of a class of sidecars for what it receives.
type inboundBuilder struct {
	view
	who *Authorization // may come in
}

// captured takes all that the workload gets, with chains for each port of its services and
// for the rest.
func (b *inboundBuilder) captured() *ir.Listener {
	port := inboundPort(b.r)
	ports := b.targets()
	timeout := waitForTLS(b.r, ports...)
	out := &ir.Listener{
		Name: model.VirtualInboundListener, Address: wildcard(b.c), Port: port, Direction: ir.DirectionInbound,
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
		out.Chains = append(out.Chains, b.chains(in)...)
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
	return out
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

// targets lists the ports of the workload's services, those with a setting of mutual
// TLS of their own, and at last all others. Of several services with one target port the first
// decides the protocol.
func (b *inboundBuilder) targets() []inbound {
	var out []inbound
	first := map[uint32]InboundPort{}
	services := b.c.Inbound
	if ingress, _ := ingressOf(b.r, b.c); len(ingress) > 0 { // bound reports those that are left out
		services = nil
		for _, in := range ingress {
			if !in.bound(b.c) {
				out, first[in.port()] = append(out, in.target(&b.view)), InboundPort{}
			}
		}
	}
	for _, in := range services {
		if other, taken := first[in.TargetPort]; !taken {
			out, first[in.TargetPort] = append(out, servicePortInbound(b.r, b.c, in)), in
		} else if other.Protocol != in.Protocol {
			b.report(protocolConflict(in, other))
		}
	}
	for _, port := range InboundMTLSPorts(b.r, b.c) {
		if _, taken := first[port]; !taken {
			out = append(out, otherInbound(b.r, b.c, port))
		}
	}
	return append(out, otherInbound(b.r, b.c, 0))
}

func protocolConflict(in, other InboundPort) model.Problem {
	return model.Problem{
		Object: in.Service, Field: fmt.Sprintf("spec.ports[port=%d]", in.Port), Severity: model.SeverityWarning, Reason: model.ReasonInboundConflict,
		Message: fmt.Sprintf("service %s serves target port %d as protocol %s; give both ports the same protocol", other.Host, in.TargetPort, cmp.Or(other.Protocol, "unknown")),
	}
}

func servicePortInbound(r Reader, c *Class, in InboundPort) inbound {
	pool, _ := inboundPool(r, c, in)
	return inbound{
		port: in.TargetPort, protocol: in.Protocol, mtls: InboundMTLS(r, c, in.TargetPort).Mode,
		cluster: model.ClusterName("inbound", in.TargetPort, "", ""),
		stats:   "inbound_" + listenerName(wildcardIPv4, in.TargetPort),
		name:    listenerName(wildcard(c), in.TargetPort),
		host:    "inbound|http|" + strconv.FormatUint(uint64(in.Port), 10),
		idle:    idleTimeout(pool),
		greets:  greets(in),
	}
}

func otherInbound(r Reader, c *Class, port uint32) inbound {
	return inbound{
		port: port, protocol: model.ProtocolAuto, mtls: InboundMTLS(r, c, port).Mode,
		cluster: model.InboundPassthroughCluster, stats: model.InboundPassthroughCluster,
		name: model.VirtualInboundListener, httpName: model.VirtualInboundListener + "-catchall-http",
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
	mutual := func(http bool, alpn ...string) inboundKind {
		return inboundKind{transport: ir.TransportTLS, alpn: alpn, mutual: true, http: http}
	}
	raw, own := inboundKind{transport: ir.TransportRaw}, inboundKind{transport: ir.TransportTLS} // own is the application's
	sniffed := inboundKind{transport: ir.TransportRaw, alpn: plaintextHTTP, http: true}
	switch {
	case in.tls != nil:
		return []inboundKind{{transport: ir.TransportTLS, http: in.protocol.IsHTTP()}}
	case in.protocol.IsHTTP():
		return [...][]inboundKind{
			ir.MTLSDisable:    {{http: true}},
			ir.MTLSStrict:     {mutual(true)},
			ir.MTLSPermissive: {mutual(true, mutualAny...), {transport: ir.TransportRaw, http: true}},
		}[in.mtls]
	case in.protocol == model.ProtocolAuto:
		return [...][]inboundKind{
			ir.MTLSDisable:    {sniffed, raw, own},
			ir.MTLSStrict:     {mutual(true, mutualHTTP...), mutual(false)},
			ir.MTLSPermissive: {mutual(true, mutualHTTP...), sniffed, mutual(false, mutualTCP...), raw, own},
		}[in.mtls]
	}
	return [...][]inboundKind{
		ir.MTLSDisable:    {{}},
		ir.MTLSStrict:     {mutual(false)},
		ir.MTLSPermissive: {mutual(false, mutualTCP...), raw, own},
	}[in.mtls]
}

func (b *inboundBuilder) chains(in inbound) []*ir.FilterChain {
	var out []*ir.FilterChain
	for _, k := range in.kinds() {
		chain := &ir.FilterChain{
			Name:  in.name,
			Match: ir.ChainMatch{DestinationPort: in.port, TransportProtocol: k.transport, ApplicationProtocols: k.alpn},
		}
		if chain.TLS = in.tls; k.mutual {
			chain.TLS = InboundTLS(b.r)
		}
		if k.http {
			chain.Name, chain.Filters = cmp.Or(in.httpName, in.name), terminal(b.requests(in))
		} else {
			proxy := tcpTo(in.cluster)
			proxy.Policy.IdleTimeout = in.idle
			chain.Filters = b.who.guard(terminal(proxy))
		}
		out = append(out, chain)
	}
	return out
}

// requests passes requests on to the workload, with the peer's identity in a header.
func (b *inboundBuilder) requests(in inbound) *ir.HTTPConnectionManager {
	forward := &ir.Forward{Clusters: []ir.WeightedCluster{{Name: in.cluster, Weight: 1}}}
	if in.protocol != model.ProtocolGRPC && in.protocol != model.ProtocolGRPCWeb { // streams of gRPC may have been answered by then, as in Istio
		forward.Retry = &ir.Retry{Attempts: defaultAttempts, On: []string{"reset-before-request"}}
	}
	return &ir.HTTPConnectionManager{
		StatPrefix: in.stats + ";",
		Routes: &ir.RouteConfig{Name: in.cluster, VirtualHosts: []*ir.VirtualHost{{
			Name: in.host, Domains: []string{"*"}, Routes: []*ir.Route{{Name: "default", Forward: forward}},
		}}},
		Denials:     b.who.denials,
		Filters:     httpFilters(b.who, grpcWeb(in.protocol == model.ProtocolGRPCWeb)...),
		ClientCert:  ir.ClientCertAppendForward,
		CertDetails: ir.CertDetails{Subject: true, DNS: true, URI: true},
		ServerName:  serverName,
		Path:        pathNormalization(b.r),
		// Clients' proxies send WebSocket so where h2UpgradePolicy asks for HTTP/2.
		ExtendedConnect: true,
	}
}
