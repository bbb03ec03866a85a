package resolve

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

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
func (v *view) tcpChains(sp servicePort, byName bool) ([]*ir.FilterChain, []model.Problem) {
	var out []*ir.FilterChain
	tls, named := sp.port.Protocol.IsTLS(), false
	candidates, problems := v.virtualServices(sp.service.Hostname)
	for _, vs := range candidates {
		s := v.ruleSet(vs, sp.port.Port)
		if tls || sp.port.Protocol == model.ProtocolAuto {
			chains := s.tlsRules()
			named = named || len(chains) > 0
			out = append(out, chains...)
		}
		if !byName && !slices.ContainsFunc(out, takesAll) {
			out = append(out, s.tcpRules(tls)...)
		}
		problems = append(problems, s.problems...)
	}
	if tls && named || slices.ContainsFunc(out, takesAll) {
		return out, problems
	}
	cluster := model.ClusterName("outbound", sp.port.Port, "", sp.service.Hostname)
	proxy := tcpTo(cluster)
	proxy.Policy = TCPPolicy(v.r, v.c, sp.service, sp.port, "")
	dynamic := dynamicPort(sp.service, sp.port)
	direct := &ir.FilterChain{Filters: sniForward(v.r, v.c, dynamic, proxy)}
	if byName || dynamic != 0 {
		direct.Match.ServerNames = []string{sp.service.Hostname}
	}
	return append(out, direct), problems
}

// tlsRules gives a chain for each match of the tls rules that applies here.
func (s *ruleSet) tlsRules() []*ir.FilterChain {
	var out []*ir.FilterChain
	for i, rule := range s.vs.spec.GetTls() {
		field := fmt.Sprintf("spec.tls[%d]", i)
		if len(rule.GetMatch()) > 0 && !slices.ContainsFunc(rule.GetMatch(), func(m *networking.TLSMatchAttributes) bool { return s.applies(m) }) {
			continue
		}
		var filters []ir.NetworkFilter
		if !s.sound(func() {
			if filters = s.tcpProxy(field, true, rule.GetRoute()); len(rule.GetMatch()) == 0 {
				s.invalid(field+".match", "a tls rule has a match with sniHosts; the rule is left out")
			}
		}) {
			continue
		}
		for j, m := range rule.GetMatch() {
			at := fmt.Sprintf("%s.match[%d]", field, j)
			if !s.applies(m) {
				continue
			}
			var match ir.ChainMatch
			if !s.sound(func() {
				match.ServerNames = s.sniHosts(at+".sniHosts", m.GetSniHosts())
				match.DestinationPrefixes = s.prefixes(at+".destinationSubnets", m.GetDestinationSubnets())
			}) {
				continue
			}
			if len(match.ServerNames) == 0 { // every name, but TLS all the same
				match.TransportProtocol = ir.TransportTLS
			}
			out = append(out, s.chain(match, filters))
		}
	}
	return out
}

// sniHosts checks names; "*" stands for every name and leaves none.
func (s *ruleSet) sniHosts(field string, hosts []string) []string {
	if len(hosts) == 0 {
		s.invalid(field, "there is no name; the match is left out")
	}
	var out []string
	for i, h := range hosts {
		if h == "*" {
			return nil
		}
		if !domainName(h) || strings.HasPrefix(h, "*") && !strings.HasPrefix(h, "*.") {
			s.invalid(fmt.Sprintf("%s[%d]", field, i), fmt.Sprintf("%q is no host; write a name, *.name or *, until then the match is left out", h))
		}
		out = append(out, model.CanonicalHost(h))
	}
	return distinct(out)
}

// tcpRules gives a chain for each match of the tcp rules that applies here, up to one that takes
// every connection. Only those that name a port are for a port of TLS, which tls rules are about.
func (s *ruleSet) tcpRules(tls bool) []*ir.FilterChain {
	var out []*ir.FilterChain
	for i, rule := range s.vs.spec.GetTcp() {
		field := fmt.Sprintf("spec.tcp[%d]", i)
		matches := rule.GetMatch()
		if len(matches) == 0 {
			matches = []*networking.L4MatchAttributes{nil}
		}
		if !slices.ContainsFunc(matches, func(m *networking.L4MatchAttributes) bool { return s.applies(m) }) {
			continue
		}
		var filters []ir.NetworkFilter
		if !s.sound(func() { filters = s.tcpProxy(field, false, rule.GetRoute()) }) {
			continue
		}
		for j, m := range matches {
			if !s.applies(m) || tls && m.GetPort() == 0 {
				continue
			}
			if m.GetSourceSubnet() != "" {
				continue // the source reports it
			}
			var match ir.ChainMatch
			at := fmt.Sprintf("%s.match[%d].destinationSubnets", field, j)
			if !s.sound(func() { match.DestinationPrefixes = s.prefixes(at, m.GetDestinationSubnets()) }) {
				continue
			}
			chain := s.chain(match, filters)
			out = append(out, chain)
			if takesAll(chain) {
				return out
			}
		}
	}
	return out
}

func (s *ruleSet) chain(match ir.ChainMatch, filters []ir.NetworkFilter) *ir.FilterChain {
	return &ir.FilterChain{Match: match, Filters: filters, Config: configPath(s.vs.Object, "virtual-service")}
}

// distinctChains leaves each name and subnet with the first chain that has it, and drops chains
// that have nothing left: Envoy refuses a listener with two chains for one connection.
func distinctChains(chains []*ir.FilterChain) []*ir.FilterChain {
	taken := map[string]bool{}
	var out []*ir.FilterChain
	for _, c := range chains {
		m := &c.Match
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
		if len(names) > 0 && len(prefixes) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// orAny copies a list of criteria; an empty one stands for any value.
func orAny(criteria []string) []string {
	if len(criteria) == 0 {
		return []string{""}
	}
	return slices.Clone(criteria)
}

// prefixes checks subnets; a lone address is one of full length.
func (s *ruleSet) prefixes(field string, subnets []string) []string {
	var out []string
	for i, text := range subnets {
		p, err := netip.ParsePrefix(text)
		if a, errAddr := netip.ParseAddr(text); err != nil && errAddr == nil {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil {
			s.invalid(fmt.Sprintf("%s[%d]", field, i), fmt.Sprintf("%q is no subnet such as 10.0.0.0/8; the match is left out", text))
		}
		out = append(out, p.Masked().String())
	}
	return distinct(out)
}

// tcpProxy translates the weighted destinations of a tls or tcp rule. named tells that connections name a
// host in a handshake.
func (s *ruleSet) tcpProxy(field string, named bool, routes []*networking.RouteDestination) []ir.NetworkFilter {
	if len(routes) == 0 {
		s.invalid(field+".route", "the rule has no destination; it is left out")
	}
	shares := weights(s, field+".route", routes)
	out, told := &ir.TCPProxy{}, false
	var targets []target
	for i, d := range routes {
		if shares[i] == 0 {
			continue
		}
		t := s.destination(fmt.Sprintf("%s.route[%d].destination", field, i), d.GetDestination())
		policy := t.tcpPolicy(s.r, s.c)
		if len(out.Clusters) == 0 {
			out.StatPrefix, out.Policy = t.cluster, policy
			if whole := t; len(routes) > 1 { // the subsets differ, and one filter serves all of them
				whole.subset = ""
				out.Policy = whole.tcpPolicy(s.r, s.c)
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
