package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Listener makes the listener of an address and port: a filter chain for requests in the clear, one for
// bytes, or one for each server that the name in the TLS handshake leads to. It is nil where there is
// nothing to forward to, of which Envoy makes no listener.
func (p *GatewayPlan) Listener(r Reader, name string) (*ir.Listener, []model.Problem) {
	g := p.ports[name]
	b := &gatewayBuilder{view{r: r, c: p.class, scope: &scope{}}, p, g, NewAuthorization(r, p.class), claims{}}
	b.report(b.who.problems...)
	out := &ir.Listener{Name: name, Address: g.address(p.class), Port: g.port, BindToPort: true}
	for _, routes := range g.routes {
		out.Chains = append(out.Chains, b.requests(name, routes))
	}
	for _, s := range g.servers {
		for _, chain := range b.bytes(s) {
			chain.Filters = b.who.guard(chain.Filters)
			out.Chains = append(out.Chains, chain)
		}
	}
	if len(out.Chains) == 0 {
		return nil, b.found()
	}
	if p.class.Topology.ProxyProtocol {
		out.Filters = append(out.Filters, ir.ProxyProtocol{})
	}
	if g.servers[0].serves.family() == "TLS" {
		out.Filters = append(out.Filters, ir.TLSInspector{})
	}
	if g.quic {
		quic(out)
		return instrumentGateway(&b.view, out), nil // the listener of TCP has the same problems
	}
	return instrumentGateway(&b.view, out), b.found()
}

// clientCert gives what becomes of x-forwarded-client-cert; unless told, a client's word does not count.
func clientCert(details string) ir.ClientCertDetails {
	switch details {
	case "SANITIZE":
		return ir.ClientCertSanitize
	case "FORWARD_ONLY":
		return ir.ClientCertForwardOnly
	case "APPEND_FORWARD":
		return ir.ClientCertAppendForward
	case "ALWAYS_FORWARD_ONLY":
		return ir.ClientCertAlwaysForward
	}
	return ir.ClientCertSanitizeSet
}

// gatewayBuilder makes one listener.
type gatewayBuilder struct {
	view
	plan  *GatewayPlan
	port  *gatewayPort
	who   *Authorization // may come in
	taken claims         // by chains
}

// requests gives the chain whose requests go by a route configuration.
func (b *gatewayBuilder) requests(listener string, routes *gatewayRoutes) *ir.FilterChain {
	out := &ir.FilterChain{Filters: terminal(&ir.HTTPConnectionManager{
		StatPrefix:       "outbound_" + listener + ";",
		RouteConfigName:  routes.name,
		ClientCert:       clientCert(b.c.Topology.ClientCert),
		CertDetails:      ir.CertDetails{Subject: true, Cert: true, DNS: true, URI: true},
		UseRemoteAddress: true,
		TrustedHops:      b.c.Topology.TrustedProxies,
		ServerName:       serverName,
		Filters:          httpFilters(b.who, slices.Concat(grpcWeb(b.port.grpcWeb()), dynamicForward(b.r, b.c, b.r.HasDynamicServices(b.c.Namespace)), []placedFilter{clusterALPN()})...),
		Path:             pathNormalization(b.r),
		Limits:           edgeLimits(),
		Underscores:      b.c.Settings.Underscores,
		Denials:          b.who.denials,
	})}
	if s := routes.servers[0]; s.serves == servesHTTPS {
		out.Match.ServerNames = s.serverNames()
		out.TLS = serverTLS(b.r, s)
		out.Config = configPath(s.gateway, "gateway")
		b.taken.claim(&out.Match)
	}
	return out
}

// serverNames are those in the TLS handshake that lead to the server; none for all.
func (s *gatewayServer) serverNames() []string {
	var out []string
	for _, h := range s.hosts {
		if h.host == "*" {
			return nil
		}
		out = append(out, h.host)
	}
	return distinct(out)
}

// bytes gives the chains of a server that forwards bytes, as the rules of the first VirtualService say
// that has any; by the name in the TLS handshake, as all of them say.
func (b *gatewayBuilder) bytes(s *gatewayServer) []*ir.FilterChain {
	if s.serves == autoPasses {
		return b.passed(s)
	}
	if s.serves != passesTLS && s.serves != servesTLS && s.serves != servesTCP {
		return nil
	}
	var out []*ir.FilterChain
	for _, bound := range b.bound(s) {
		rules := &ruleSet{view: &b.view, vs: bound.vs, port: s.number(), gateways: []string{s.name()}, anybody: true}
		var chains []*ir.FilterChain
		if s.serves == passesTLS {
			chains = b.narrowed(s, bound, rules.tlsRules())
		} else {
			chains = rules.tcpRules()
		}
		b.reportObject(bound.vs)
		for _, chain := range chains {
			if s.serves == servesTLS {
				chain.Match.ServerNames, chain.TLS = s.serverNames(), serverTLS(b.r, s)
			}
			asked := len(chain.Match.ServerNames)
			if b.taken.claim(&chain.Match) {
				out = append(out, chain)
			}
			if lost := asked - len(chain.Match.ServerNames); lost > 0 {
				b.hidden(bound.vs, lost)
			}
		}
		if len(out) > 0 && s.serves != passesTLS {
			break
		}
	}
	return out
}

// boundService is a VirtualService that a server takes, with the hosts that both have.
type boundService struct {
	vs    *virtualService
	hosts []string
}

// bound gives the VirtualServices of which a server has a host, in the order in which they count.
func (b *gatewayBuilder) bound(s *gatewayServer) []boundService {
	hosts := map[model.Key][]string{}
	var objects []*model.Object
	for _, bound := range b.r.BoundHosts(b.c.Namespace, s.name()) {
		namespace, host, _ := strings.Cut(bound, "/")
		shared := s.shares(namespace, host)
		if len(shared) == 0 {
			continue
		}
		for _, o := range b.r.BoundVirtualServices(b.c.Namespace, s.name(), bound) {
			if hosts[o.Key] == nil {
				objects = append(objects, o)
			}
			hosts[o.Key] = append(hosts[o.Key], shared...)
		}
	}
	b.plan.rank(b.r, objects)
	out := make([]boundService, 0, len(objects))
	for _, o := range objects {
		out = append(out, boundService{newVirtualService(b.r, o), hosts[o.Key]})
	}
	return out
}

// narrowed leaves to the chains of tls rules the names that the server offers.
func (b *gatewayBuilder) narrowed(s *gatewayServer, bound boundService, chains []*ir.FilterChain) []*ir.FilterChain {
	var out []*ir.FilterChain
	for _, chain := range chains {
		if len(chain.Match.ServerNames) == 0 { // "*"
			chain.Match.ServerNames, chain.Match.TransportProtocol = []string{"*"}, ""
		}
		var names []string
		for _, name := range chain.Match.ServerNames {
			names = append(names, s.shares(bound.vs.Namespace, name)...)
		}
		if len(names) == 0 {
			continue
		}
		if chain.Match.ServerNames = nil; !slices.Contains(names, "*") {
			chain.Match.ServerNames = distinct(names)
		} else {
			chain.Match.TransportProtocol = ir.TransportTLS
		}
		out = append(out, chain)
	}
	return out
}

// hidden reports names of a VirtualService's tls rules that lead elsewhere already.
func (b *gatewayBuilder) hidden(vs *virtualService, names int) {
	b.report(vs.WarningAt("spec.tls", model.ReasonConflict,
		fmt.Sprintf("%d of the sniHosts lead to another server or rule on port %d already; keep each in one place", names, b.port.servers[0].number())))
}

// rank puts VirtualServices in the order in which they count.
func (p *GatewayPlan) rank(r Reader, objects []*model.Object) {
	slices.SortFunc(objects, precedence(r, p.class.Namespace))
}
