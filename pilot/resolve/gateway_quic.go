package resolve

import (
	"fmt"
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// reachedByUDP gives the port at which a gateway gets what clients send to a port by UDP. Its Service has to have that,
// else an alt-svc leads them nowhere: then ok is false. Without a Service they come to the proxy itself, which listens.
func reachedByUDP(c *Class, port uint32) (target uint32, ok bool) {
	if len(c.Inbound)+len(c.UDPPorts) == 0 {
		return port, true
	}
	i := slices.IndexFunc(c.UDPPorts, func(p UDPPort) bool { return p.Port == port })
	if i < 0 {
		return 0, false
	}
	return c.UDPPorts[i].TargetPort, true
}

// speaksQUIC tells whether a server can speak HTTP/3: it routes requests within TLS 1.3, and asks clients for
// no certificate, which Envoy does not do there.
func (s *gatewayServer) speaksQUIC(c *Class) bool {
	t := s.spec.GetTls()
	old := t.GetMaxProtocolVersion() != networking.ServerTLSSettings_TLS_AUTO && t.GetMaxProtocolVersion() != networking.ServerTLSSettings_TLSV1_3
	_, reached := reachedByUDP(c, s.number())
	return c.Settings.QUIC && reached && s.serves == servesHTTPS && t.GetMode() == networking.ServerTLSSettings_SIMPLE && !old
}

// addQUIC adds to a port the listeners of its servers that speak HTTP/3, each where its Service leads UDP.
func (p *GatewayPlan) addQUIC(c *Class, g *gatewayPort) {
	byPort := map[uint32]*gatewayPort{}
	for _, routes := range g.routes {
		if !routes.servers[0].speaksQUIC(c) {
			continue
		}
		target, _ := reachedByUDP(c, routes.servers[0].number())
		out := byPort[target]
		if out == nil {
			out = &gatewayPort{bind: g.bind, port: target, quic: true}
			byPort[target], p.ports[out.name(c)] = out, out
		}
		out.servers = append(out.servers, routes.servers...)
		out.routes = append(out.routes, routes)
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
