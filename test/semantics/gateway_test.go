package semantics

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
)

// What a gateway does: which servers of which Gateways it has, and which rules are theirs.

// server is one of a Gateway that is in force, its hosts as host or namespace/host.
type server struct {
	*networking.Server
	of    *gateway
	hosts []string
}

func (s *server) speaksHTTP() bool {
	return slices.Contains([]string{"HTTP", "HTTP2", "GRPC"}, s.GetPort().GetProtocol())
}

// servers gives those that are in force on a port of an address, "" for any: the first decides what is spoken there, and each
// host of TLS is the first's.
func (m *mesh) servers(address string, port uint32) []*server {
	gateways := slices.Clone(m.gateways)
	slices.SortFunc(gateways, func(a, b *gateway) int { return older(a.meta, b.meta) })
	var out []*server
	taken := map[string]bool{}
	for _, g := range gateways {
		for _, spec := range g.GetServers() {
			if spec.GetPort().GetNumber() != port || spec.GetBind() != address {
				continue
			}
			s := &server{spec, g, hostsOf(spec, g.namespace)}
			switch {
			case len(out) > 0 && (s.speaksHTTP() != out[0].speaksHTTP() || spec.GetPort().GetProtocol() == "TCP"):
				continue
			case !s.speaksHTTP() && slices.ContainsFunc(s.names(), func(h string) bool { return taken[h] }):
				continue
			}
			for _, h := range s.names() {
				taken[h] = true
			}
			out = append(out, s)
		}
	}
	return out
}

func hostsOf(s *networking.Server, namespace string) []string {
	var out []string
	for _, h := range s.GetHosts() {
		if own, ok := strings.CutPrefix(h, "./"); ok {
			h = namespace + "/" + own
		}
		out = append(out, strings.TrimPrefix(h, "*/"))
	}
	return out
}

// names gives the hosts without the namespaces for which they are.
func (s *server) names() []string {
	var out []string
	for _, h := range s.hosts {
		out = append(out, h[strings.Index(h, "/")+1:])
	}
	return out
}

// hostsFor gives the hosts of a server for VirtualServices of a namespace, without its name.
func (s *server) hostsFor(namespace string) []string {
	var out []string
	for _, h := range s.hosts {
		from, host, ok := strings.Cut(h, "/")
		switch {
		case !ok:
			out = append(out, h)
		case from == namespace:
			out = append(out, host)
		}
	}
	return out
}

// inCommon gives the hosts that cover what both lists do.
func inCommon(a, b []string) []string {
	var out []string
	for _, x := range a {
		for _, y := range b {
			if within(x, y) {
				out = append(out, x)
			} else if within(y, x) {
				out = append(out, y)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// site is what servers have under one host.
type site struct {
	routes []*route
	secure bool // whoever comes without TLS is sent to where it is
}

// atGateway gives what the gateway does with a request, or with bytes. Servers with the very address come before those
// without one, which get nothing then.
func (m *mesh) atGateway(c *client, q *explain.Request) string {
	for _, address := range []string{q.Destination.Addr().String(), ""} {
		servers := m.servers(address, uint32(q.Destination.Port()))
		if len(servers) > 0 && servers[0].speaksHTTP() {
			return m.served(c, servers, q)
		}
		if chains := m.chains(c, servers); len(chains) > 0 {
			return m.taken(c, chains, q)
		}
	}
	return "closed"
}

// taken gives what becomes of a connection where there are chains.
func (m *mesh) taken(c *client, chains []chain, q *explain.Request) string {
	sni := ""
	if q.TLS != nil {
		sni = strings.ToLower(q.TLS.SNI)
	}
	found := chosen(chains, q.Destination.Addr(), sni)
	switch {
	case found == nil, found.istio && !slices.Contains(q.TLS.ALPN, "istio"):
		return "closed"
	case found.serve != nil:
		return m.served(c, []*server{found.serve}, q)
	}
	return found.to
}

// passedOn gives the chains of a server that passes on what the mesh's own sidecars send: one for each port of a service that
// one of its hosts covers, and for each subset. (Istio does not look at the namespace of such a host.)
func passedOn(s *server) []chain {
	var out []chain
	for _, service := range services() {
		if service.external() || !slices.ContainsFunc(s.hostsFor(service.namespace), func(h string) bool { return within(service.host, h) }) {
			continue
		}
		for port := range service.ports {
			for _, subset := range service.subsets() {
				name := fmt.Sprintf("outbound_.%d_.%s_.%s", port, subset, service.host)
				out = append(out, chain{names: []string{name}, to: name, istio: true})
			}
		}
	}
	return out
}

// chains gives those of servers that speak no HTTP in the clear. A name that a server of requests has is no other server's.
// (Of two chains for one name Istio makes a listener that Envoy refuses.)
func (m *mesh) chains(c *client, servers []*server) []chain {
	var requests, out []chain
	for _, s := range servers {
		port := s.GetPort().GetNumber()
		names := s.names()
		if slices.Contains(names, "*") || s.GetTls() == nil {
			names = nil
		}
		rules := slices.DeleteFunc(m.boundTo(s.of.key(), c.namespace), func(v *virtualService) bool { return len(inCommon(s.hostsFor(v.namespace), v.GetHosts())) == 0 })
		switch {
		case s.GetPort().GetProtocol() == "HTTPS":
			requests = append(requests, chain{names: names, serve: s})
		case s.GetTls().GetMode() == networking.ServerTLSSettings_AUTO_PASSTHROUGH:
			out = append(out, passedOn(s)...)
		case s.GetTls().GetMode() == networking.ServerTLSSettings_PASSTHROUGH && s.GetTls() != nil:
			out = append(out, passed(rules, s)...)
		default:
			if to := bytesAt(rules, s, port); to != "" {
				out = append(out, chain{names: names, to: to})
			}
		}
	}
	return append(requests, out...)
}

// here tells whether a match of TCP or TLS holds at a server. Who the client is, is not asked there.
func here(m conditions, s *server) bool {
	anybody := &client{}
	return anybody.concerns(&networking.L4MatchAttributes{Gateways: m.GetGateways(), Port: m.GetPort()}, s.of.key(), s.GetPort().GetNumber())
}

// bytesAt gives where the first rule of TCP for a server leads, "" for none.
func bytesAt(rules []*virtualService, s *server, port uint32) string {
	for _, v := range rules {
		for _, rule := range v.GetTcp() {
			if len(rule.GetMatch()) == 0 || slices.ContainsFunc(rule.GetMatch(), func(m *networking.L4MatchAttributes) bool { return here(m, s) }) {
				return bytesTo(rule.GetRoute(), port)
			}
		}
	}
	return ""
}

// passed gives the chains of a server that passes TLS on, by the names that rules ask for and the server has. (Istio lets in
// whatever else a VirtualService asks for that has one of the server's hosts.)
func passed(rules []*virtualService, s *server) []chain {
	var out []chain
	for _, v := range rules {
		for _, rule := range v.GetTls() {
			for _, match := range rule.GetMatch() {
				if names := inCommon(s.hostsFor(v.namespace), match.GetSniHosts()); here(match, s) && len(names) > 0 {
					out = append(out, chain{names: names, to: bytesTo(rule.GetRoute(), s.GetPort().GetNumber())})
				}
			}
		}
	}
	return out
}

// served gives what servers of HTTP do with a request, "404" where they have nothing for it.
func (m *mesh) served(c *client, servers []*server, q *explain.Request) string {
	sites := m.sites(c, servers)
	var hosts []string
	for h := range sites {
		hosts = append(hosts, h)
	}
	s := sites[closest(hosts, strings.ToLower(q.Host))]
	switch {
	case s == nil:
		return "404"
	case s.secure && q.TLS == nil:
		return "301 to " + q.Host
	}
	return first(lastEverything(s.routes), q)
}

// sites gives what servers that share a port have, by host. Rules of all VirtualServices are put together.
func (m *mesh) sites(c *client, servers []*server) map[string]*site {
	out := map[string]*site{}
	of := func(host string) *site {
		if out[host] == nil {
			out[host] = &site{}
		}
		return out[host]
	}
	for _, s := range servers {
		for _, v := range m.boundTo(s.of.key(), c.namespace) {
			routes := v.routes(c, s.of.key(), s.GetPort().GetNumber())
			if len(routes) == 0 {
				continue
			}
			for _, host := range inCommon(s.hostsFor(v.namespace), v.GetHosts()) {
				of(host).routes = append(of(host).routes, routes...)
				of(host).secure = of(host).secure || s.GetTls().GetHttpsRedirect()
			}
		}
		if s.GetTls().GetHttpsRedirect() {
			for _, host := range s.names() {
				of(host).secure = true
			}
		}
	}
	return out
}

// lastEverything puts the routes that take everything behind the others.
func lastEverything(routes []*route) []*route {
	var some, all []*route
	for _, r := range routes {
		if r.everything() {
			all = append(all, r)
		} else {
			some = append(some, r)
		}
	}
	return append(some, all...)
}
