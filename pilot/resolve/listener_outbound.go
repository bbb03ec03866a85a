package resolve

import (
	"cmp"
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// plaintextHTTP is what the HTTP inspector calls requests in the clear. HTTP/1.0 is left to TCP,
// for the connection manager would answer it with 426 unless it is asked to take it (http10.go).
var plaintextHTTP = []string{"http/1.1", "h2c"}

// serverName is what the server header says, so that clients see a response of the mesh.
const serverName = "istio-envoy"

// virtualOutbound takes all that the workload sends and hands it to the listener of its
// destination. What has none goes on to where it was sent, or nowhere.
func virtualOutbound(r Reader, c *Class, scope *scope) *ir.Listener {
	port := outboundPort(r)
	return &ir.Listener{
		Name: model.VirtualOutboundListener, Address: wildcard(c), Port: port,
		BindToPort: true, UseOriginalDst: true,
		Chains: []*ir.FilterChain{
			{
				// Connections to the port itself would go round in circles.
				Name:    model.VirtualOutboundListener + "-blackhole",
				Match:   ir.ChainMatch{DestinationPort: port},
				Filters: terminal(tcpTo(model.BlackHoleCluster)),
			},
			{Name: model.VirtualOutboundListener + "-catchall-tcp", Filters: terminal(tcpTo(unknownCluster(scope)))},
		},
	}
}

// unknownCluster takes traffic to destinations that the class does not know.
func unknownCluster(scope *scope) string {
	if scope.allowAny {
		return cmp.Or(scope.proxy, model.PassthroughCluster)
	}
	return model.BlackHoleCluster
}

// tcpTo forwards a connection to one cluster, by whose name it is counted.
func tcpTo(cluster string) *ir.TCPProxy {
	return &ir.TCPProxy{StatPrefix: cluster, Clusters: []ir.WeightedCluster{{Name: cluster, Weight: 1}}}
}

// outboundBuilder makes the listeners of a class of sidecars for what it sends.
type outboundBuilder struct{ view }

func (b *outboundBuilder) listener(o *outbound) *ir.Listener {
	out := &ir.Listener{Name: o.name(), Address: o.address, Port: o.port, BindToPort: o.bound}
	if o.proxies() {
		chain := b.httpChain(o)
		chain.Match = ir.ChainMatch{}
		out.Chains = []*ir.FilterChain{chain}
		return out
	}
	for _, sp := range o.tcp {
		out.Chains = append(out.Chains, within(b.tcpChains(sp.servicePort, bySNI(o, sp)), sp)...)
		if sp.port.Protocol != model.ProtocolAuto { // its virtual host tells
			b.report(tooFar(b.r, b.c.Namespace, sp.service.Hostname)...)
		}
	}
	out.Chains = distinctChains(out.Chains)
	if at := slices.IndexFunc(out.Chains, takesAll); at >= 0 && (o.routes != "" || len(out.Chains) > 1) {
		// Envoy goes by one criterion after the other and never back: among others, a chain
		// without any would not see what matches one of them in part.
		out.Default = out.Chains[at]
		out.Chains = slices.Delete(out.Chains, at, at+1)
	}
	if o.routes != "" {
		out.Chains = slices.Insert(out.Chains, 0, b.httpChains(o)...)
	}
	b.inspect(o, out)
	if out.Default == nil && !slices.ContainsFunc(out.Chains, takesAll) {
		out.Default = &ir.FilterChain{Name: "PassthroughFilterChain", Filters: terminal(tcpTo(unknownCluster(b.scope)))}
	}
	return out
}

// inspect looks into the first bytes where chains are chosen by what is in them. Only HTTP is waited
// for with a limit: a client of TLS speaks first.
func (b *outboundBuilder) inspect(o *outbound, l *ir.Listener) {
	if o.routes == "" && !slices.ContainsFunc(l.Chains, needsSNI) {
		return
	}
	var timeout time.Duration
	l.Filters = []ir.ListenerFilter{ir.TLSInspector{}}
	if o.routes != "" {
		l.Filters = append(l.Filters, ir.HTTPInspector{})
		timeout = inspectTimeout(b.r)
	}
	l.InspectTimeout = &timeout
}

// within narrows the chains of a service to its subnets. Beside the chain of HTTP there, which asks for
// plaintext, plaintext of another sort needs one that does so too: Envoy never goes back.
func within(chains []*ir.FilterChain, sp tcpPort) []*ir.FilterChain {
	if len(sp.subnets) == 0 {
		return chains
	}
	out := make([]*ir.FilterChain, 0, len(chains)+1)
	for _, c := range chains {
		if len(c.Match.DestinationPrefixes) == 0 {
			c.Match.DestinationPrefixes = sp.subnets
		}
		out = append(out, c)
		if sp.port.Protocol == model.ProtocolAuto && !needsSNI(c) && c.Match.TransportProtocol == "" {
			plain := *c
			plain.Match.TransportProtocol = ir.TransportRaw
			out = append(out, &plain)
		}
	}
	return out
}

// httpChains gives the chains of HTTP: one for all destinations, and one for the subnets of services whose
// protocol is sniffed, since Envoy looks at the destination first and never back.
func (b *outboundBuilder) httpChains(o *outbound) []*ir.FilterChain {
	out := []*ir.FilterChain{b.httpChain(o)}
	var subnets []string
	for _, sp := range o.tcp {
		if sp.port.Protocol == model.ProtocolAuto && !sp.named { // the others have the same
			subnets = append(subnets, sp.subnets...)
		}
	}
	if len(subnets) > 0 {
		within := b.httpChain(o) // with a manager of its own, to which filters are added
		within.Match.DestinationPrefixes = subnets
		out = append(out, within)
	}
	return out
}

func (b *outboundBuilder) httpChain(o *outbound) *ir.FilterChain {
	return &ir.FilterChain{
		Match: ir.ChainMatch{TransportProtocol: ir.TransportRaw, ApplicationProtocols: plaintextHTTP},
		Filters: terminal(&ir.HTTPConnectionManager{
			StatPrefix:      "outbound_" + o.name() + ";",
			RouteConfigName: o.routes,
			Filters:         httpFilters(nil, slices.Concat(outboundTokens(&b.view), grpcWeb(o.grpcWeb), dynamicForward(b.r, b.c, b.scope.dynamic), []placedFilter{clusterALPN()})...),
			Path:            pathNormalization(b.r),
		}),
	}
}

// inspectTimeout is how long the first bytes of a connection are waited for; 0 is for ever.
func inspectTimeout(r Reader) time.Duration {
	return r.Mesh().GetProtocolDetectionTimeout().AsDuration()
}

func needsSNI(c *ir.FilterChain) bool { return len(c.Match.ServerNames) > 0 }

// takesAll tells whether a chain matches every connection.
func takesAll(c *ir.FilterChain) bool {
	m := c.Match
	return m.DestinationPort == 0 && m.TransportProtocol == "" &&
		len(m.DestinationPrefixes)+len(m.SourcePrefixes)+len(m.ServerNames)+len(m.ApplicationProtocols) == 0
}
