package resolve

import (
	"fmt"
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// reachedByUDP tells whether clients reach a port of a gateway by UDP: its Service has to have it, else an alt-svc leads
// them nowhere. Without a Service they come to the proxy itself, which listens.
func reachedByUDP(c *Class, port uint32) bool {
	return len(c.Inbound)+len(c.UDPPorts) == 0 || slices.Contains(c.UDPPorts, port)
}

// speaksQUIC tells whether a server can speak HTTP/3: it routes requests within TLS 1.3, and asks clients for
// no certificate, which Envoy does not do there.
func (s *gatewayServer) speaksQUIC(c *Class) bool {
	t := s.spec.GetTls()
	old := t.GetMaxProtocolVersion() != networking.ServerTLSSettings_TLS_AUTO && t.GetMaxProtocolVersion() != networking.ServerTLSSettings_TLSV1_3
	return c.Settings.QUIC && reachedByUDP(c, s.number()) && s.serves == servesHTTPS && t.GetMode() == networking.ServerTLSSettings_SIMPLE && !old
}

// addQUIC adds to a port the listener of its servers that speak HTTP/3.
func (p *GatewayPlan) addQUIC(c *Class, g *gatewayPort) {
	out := &gatewayPort{bind: g.bind, port: g.port, quic: true}
	for _, routes := range g.routes {
		if routes.servers[0].speaksQUIC(c) {
			out.servers = append(out.servers, routes.servers...)
			out.routes = append(out.routes, routes)
		}
	}
	if len(out.routes) > 0 {
		p.ports[out.name(c)] = out
	}
}

// quic makes what serves requests over TCP serve them over QUIC.
func quic(l *ir.Listener) {
	l.QUIC, l.Filters = true, nil
	for _, chain := range l.Chains {
		chain.TLS.ALPN, chain.TLS.Params = []string{"h3"}, ir.TLSParams{} // TLS 1.3 and its ciphers
	}
	for m := range l.Managers() {
		m.HTTP3 = true
	}
}

// maxAge is how long clients remember that there is HTTP/3, in seconds, as with Istio.
const maxAge = 86400

// alternative tells clients of a server's virtual hosts that it speaks HTTP/3 (RFC 7838), at the port that they
// know; "" for one that does not.
func alternative(c *Class, s *gatewayServer) string {
	if !s.speaksQUIC(c) {
		return ""
	}
	return fmt.Sprintf(`h3=":%d"; ma=%d`, s.number(), maxAge)
}
