package resolve

import (
	"fmt"
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// tcpChains gives the filter chains for a service that is no HTTP service. They are those that the tls
// and tcp rules of its VirtualServices ask for, and one straight to the service, unless a rule takes
// every connection. Unlike rules of HTTP, those of all its VirtualServices count: of two for one name or
// subnet the first is in force. On a port of TLS the names of tls rules are all that there is: a connection with
// another goes on to where it was sent. byName narrows all to the service's own name in the TLS
// handshake.
func (v *view) tcpChains(sp servicePort, byName bool) []*ir.FilterChain {
	var out []*ir.FilterChain
	tls := sp.port.Protocol.IsTLS()
	for _, vs := range v.byteRules(sp.service) {
		s := v.ruleSet(vs, sp.port.Port)
		switch {
		case tls:
			out = append(out, s.tlsRules()...)
		case !byName && !slices.ContainsFunc(out, takesAll):
			out = append(out, s.tcpRules()...)
		}
	}
	if tls && len(out) > 0 || slices.ContainsFunc(out, takesAll) {
		return out
	}
	cluster := model.ClusterName("outbound", sp.port.Port, "", sp.service.Hostname)
	proxy := tcpTo(cluster)
	proxy.Policy = TCPPolicy(v.r, v.c, sp.service, sp.port, "")
	dynamic := dynamicPort(sp.service, sp.port)
	direct := &ir.FilterChain{Filters: sniForward(v.r, v.c, dynamic, proxy)}
	if byName || dynamic != 0 {
		direct.Match.ServerNames = []string{sp.service.Hostname}
	}
	return append(out, direct)
}

// byteRules gives the VirtualServices whose tls and tcp rules count for a service. Unlike those for requests they are in
// force together, so that a more specific host comes before none, and names below the service's wildcard count too.
func (v *view) byteRules(svc *model.Service) []*virtualService {
	out := slices.Collect(v.virtualServices(svc.Hostname))
	if isWildcard(svc.Hostname) {
		out = v.withBelow(svc.Hostname, out)
	}
	order := precedence(v.r, v.c.Namespace)
	slices.SortFunc(out, func(a, b *virtualService) int { return order(a.Object, b.Object) })
	return out
}

// withBelow adds to VirtualServices those that name hosts below a wildcard, of which some may be among them.
func (v *view) withBelow(wildcard string, all []*virtualService) []*virtualService {
	for _, host := range v.r.VirtualServiceHosts(v.c.Namespace) {
		if !model.HostCovers(wildcard, host) || host == wildcard {
			continue
		}
		for vs := range v.virtualServices(host) {
			if !slices.ContainsFunc(all, func(o *virtualService) bool { return o.Key == vs.Key }) {
				all = append(all, vs)
			}
		}
	}
	return all
}

// tlsRules gives the chains of the tls rules, by the names in handshakes.
func (s *ruleSet) tlsRules() []*ir.FilterChain {
	return ruleChains(s, "tls", s.vs.spec.GetTls(), func(m *networking.TLSMatchAttributes) ir.ChainMatch {
		if names := sniHosts(m.GetSniHosts()); len(names) > 0 {
			return ir.ChainMatch{ServerNames: names}
		}
		return ir.ChainMatch{TransportProtocol: ir.TransportTLS} // every name, but TLS all the same
	})
}

// sniHosts gives names; "*" stands for every name and leaves none.
func sniHosts(hosts []string) []string {
	if slices.Contains(hosts, "*") {
		return nil
	}
	var out []string
	for _, h := range hosts {
		out = append(out, model.CanonicalHost(h))
	}
	return distinct(out)
}

// tcpRules gives the chains of the tcp rules.
func (s *ruleSet) tcpRules() []*ir.FilterChain {
	return ruleChains(s, "tcp", s.vs.spec.GetTcp(), func(*networking.L4MatchAttributes) ir.ChainMatch { return ir.ChainMatch{} })
}

// bytesRule is what tcp and tls rules say.
type bytesRule[M bytesMatch] interface {
	GetMatch() []M
	GetRoute() []*networking.RouteDestination
}

// ruleChains gives a chain for each match of the rules of one kind that applies here, up to one that takes every
// connection. criteria gives what a match asks beside subnets.
func ruleChains[M bytesMatch, R bytesRule[M]](s *ruleSet, kind string, rules []R, criteria func(M) ir.ChainMatch) []*ir.FilterChain {
	var out []*ir.FilterChain
	for i, rule := range rules {
		field := fmt.Sprintf("spec.%s[%d]", kind, i)
		matches := rule.GetMatch()
		if len(matches) == 0 {
			matches = make([]M, 1) // nil is for everyone
		}
		var filters []ir.NetworkFilter // the same for all matches of the rule
		for j, m := range matches {
			if !s.takes(m) {
				continue
			}
			if filters == nil && !s.sound(func() { filters = s.tcpProxy(field, kind == "tls", rule.GetRoute()) }) {
				break
			}
			match := criteria(m)
			match.DestinationPrefixes = s.subnets(fmt.Sprintf("%s.match[%d]", field, j), m)
			out = append(out, &ir.FilterChain{Match: match, Filters: filters, Config: configPath(s.vs.Object, "virtual-service")})
			if takesAll(out[len(out)-1]) {
				return out
			}
		}
	}
	return out
}

// bytesMatch is what matches of tcp and of tls rules say.
type bytesMatch interface {
	placed
	GetDestinationSubnets() []string
}

// takes tells whether a match is for this place. A gateway looks at its own name and port alone, as in Istio.
func (s *ruleSet) takes(m bytesMatch) bool {
	if s.anybody {
		return s.applies(&networking.L4MatchAttributes{Gateways: m.GetGateways(), Port: m.GetPort()})
	}
	return s.applies(m)
}

// subnets gives those of a match, and tells of what is not looked at here, nor anywhere else.
func (s *ruleSet) subnets(field string, m bytesMatch) []string {
	if !s.anybody {
		return prefixes(m.GetDestinationSubnets())
	}
	if asks := len(m.GetDestinationSubnets()) + len(m.GetSourceLabels()) + len(m.GetSourceNamespace()); asks > 0 && !model.BoundToMesh(s.vs.spec.GetGateways()) {
		s.warn(field, model.ReasonNotTranslated, "a gateway looks neither at who connects nor to which address, in Istio neither; remove sourceLabels, sourceNamespace and destinationSubnets")
	}
	return nil
}

// distinctChains leaves each name and subnet with the first chain that has it, and drops chains
// that have nothing left: Envoy refuses a listener with two chains for one connection.
func distinctChains(chains []*ir.FilterChain) []*ir.FilterChain {
	taken := claims{}
	return slices.DeleteFunc(chains, func(c *ir.FilterChain) bool { return !taken.claim(&c.Match) })
}

// claims are the names in TLS handshakes, with subnets, that chains of a listener have.
type claims map[string]bool

// claim leaves to a chain the names, or else the subnets, that none before it has, and tells whether there are any.
func (taken claims) claim(m *ir.ChainMatch) bool {
	key := func(name, prefix string) string { return m.TransportProtocol + " " + name + " " + prefix }
	names, prefixes := orAny(m.ServerNames), orAny(m.DestinationPrefixes)
	if len(m.ServerNames) > 0 {
		names = slices.DeleteFunc(names, func(n string) bool {
			return slices.ContainsFunc(prefixes, func(p string) bool { return taken[key(n, p)] })
		})
		m.ServerNames = names
	} else {
		prefixes = slices.DeleteFunc(prefixes, func(p string) bool { return taken[key("", p)] })
		if len(m.DestinationPrefixes) > 0 {
			m.DestinationPrefixes = prefixes
		}
	}
	for _, n := range names {
		for _, p := range prefixes {
			taken[key(n, p)] = true
		}
	}
	return len(names) > 0 && len(prefixes) > 0
}

// orAny copies a list of criteria; an empty one stands for any value.
func orAny(criteria []string) []string {
	if len(criteria) == 0 {
		return []string{""}
	}
	return slices.Clone(criteria)
}

// prefixes gives subnets; a lone address is one of full length.
func prefixes(subnets []string) []string {
	var out []string
	for _, text := range subnets {
		p, _ := model.ParseAddressBlock(text)
		out = append(out, p.String())
	}
	return distinct(out)
}

// tcpProxy translates the weighted destinations of a tls or tcp rule. named tells that connections name a
// host in a handshake.
func (s *ruleSet) tcpProxy(field string, named bool, routes []*networking.RouteDestination) []ir.NetworkFilter {
	shares := weights(routes)
	out, told := &ir.TCPProxy{}, false
	var targets []target
	for i, d := range routes {
		if shares[i] == 0 {
			continue
		}
		t := s.destination(fmt.Sprintf("%s.route[%d].destination", field, i), d.GetDestination())
		policy := TCPPolicy(s.r, s.c, t.service, t.port, t.subset)
		if len(out.Clusters) == 0 {
			out.StatPrefix, out.Policy = t.cluster, policy
			if len(routes) > 1 { // the subsets differ, and one filter serves all of them
				out.StatPrefix, out.Policy = s.vs.Name+"."+s.vs.Namespace, TCPPolicy(s.r, s.c, t.service, t.port, "")
			}
		}
		if sent := out.Policy.Tunnel; !told && ((sent == nil) != (policy.Tunnel == nil) || sent != nil && *sent != *policy.Tunnel) {
			told = true
			s.warn(field+".route", model.ReasonConflict, "the DestinationRules of its destinations disagree about the tunnel; all connections are sent as that of the first says without its subsets")
		}
		out.Clusters = append(out.Clusters, ir.WeightedCluster{Name: t.cluster, Weight: shares[i]})
		targets = append(targets, t)
	}
	return sniForward(s.r, s.c, s.dynamicTCP(field+".route", named, targets), out)
}
