package resolve

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// tcpChains gives the filter chains for a service that is no HTTP service: those that the tls and
// tcp rules of its VirtualService ask for, and, unless a rule takes every connection, one
// straight to the service. byName narrows all to the service's own name in the TLS handshake.
func tcpChains(r Reader, c *Class, scope *EgressScope, rules *virtualServices, sp servicePort, byName bool) ([]*ir.FilterChain, []model.Problem) {
	var out []*ir.FilterChain
	var problems []model.Problem
	if vs := rules.forHost(sp.service.Hostname); vs != nil {
		s := &ruleSet{r: r, c: c, scope: scope, vs: vs, port: sp.port.Port, gateways: []string{meshGateway}}
		protocol := sp.port.Protocol
		if protocol == model.ProtocolTLS || protocol == model.ProtocolHTTPS || protocol == model.ProtocolAuto {
			out = s.tlsRules()
		}
		if !byName {
			out = s.distinct(append(out, s.tcpRules()...))
		}
		problems = s.problems
	}
	if slices.ContainsFunc(out, takesAll) {
		return out, problems
	}
	cluster := model.ClusterName("outbound", sp.port.Port, "", sp.service.Hostname)
	direct := &ir.FilterChain{TCP: tcpTo(r, cluster)}
	direct.TCP.Policy = TCPPolicy(r, c, sp.service, sp.port, "")
	if byName {
		direct.Match.ServerNames = []string{sp.service.Hostname}
		if slices.ContainsFunc(out, func(x *ir.FilterChain) bool { return slices.Contains(x.Match.ServerNames, sp.service.Hostname) }) {
			return out, problems
		}
	}
	return append(out, direct), problems
}

// tlsRules gives a chain for each match of the tls rules that applies here.
func (s *ruleSet) tlsRules() []*ir.FilterChain {
	var out []*ir.FilterChain
	for i, rule := range s.vs.spec.GetTls() {
		field := fmt.Sprintf("spec.tls[%d]", i)
		proxy := s.tcpProxy(field, rule.GetRoute())
		if proxy == nil {
			continue
		}
		for j, m := range rule.GetMatch() {
			at := fmt.Sprintf("%s.match[%d]", field, j)
			if !s.appliesTo(m.GetGateways(), m.GetPort(), m.GetSourceNamespace(), m.GetSourceLabels()) {
				continue
			}
			names, ok := s.sniHosts(at+".sniHosts", m.GetSniHosts())
			if !ok {
				continue
			}
			prefixes, ok := s.prefixes(at+".destinationSubnets", m.GetDestinationSubnets())
			if !ok {
				continue
			}
			match := ir.ChainMatch{ServerNames: names, DestinationPrefixes: prefixes}
			if len(names) == 0 { // every name, but TLS all the same
				match.TransportProtocol = ir.TransportTLS
			}
			out = append(out, &ir.FilterChain{Match: match, TCP: proxy})
		}
		if len(rule.GetMatch()) == 0 {
			s.invalid(field+".match", "a tls rule has a match with sniHosts; the rule is left out")
		}
	}
	return s.distinct(out)
}

// sniHosts checks names; "*" stands for every name and leaves none.
func (s *ruleSet) sniHosts(field string, hosts []string) ([]string, bool) {
	if len(hosts) == 0 {
		s.invalid(field, "there is no name; the match is left out")
		return nil, false
	}
	var out []string
	for i, h := range hosts {
		if h == "*" {
			return nil, true
		}
		if !domainName(h) || strings.HasPrefix(h, "*") && !strings.HasPrefix(h, "*.") {
			s.invalid(fmt.Sprintf("%s[%d]", field, i), fmt.Sprintf("%q is no host; write a name, *.name or *, until then the match is left out", h))
			return nil, false
		}
		out = append(out, strings.ToLower(h))
	}
	slices.Sort(out)
	return slices.Compact(out), true
}

// tcpRules gives a chain for each match of the tcp rules that applies here, up to one that takes
// every connection.
func (s *ruleSet) tcpRules() []*ir.FilterChain {
	var out []*ir.FilterChain
	for i, rule := range s.vs.spec.GetTcp() {
		field := fmt.Sprintf("spec.tcp[%d]", i)
		matches := rule.GetMatch()
		if len(matches) == 0 {
			matches = []*networking.L4MatchAttributes{nil}
		}
		proxy := s.tcpProxy(field, rule.GetRoute())
		if proxy == nil {
			continue
		}
		for j, m := range matches {
			at := fmt.Sprintf("%s.match[%d]", field, j)
			if !s.appliesTo(m.GetGateways(), m.GetPort(), m.GetSourceNamespace(), m.GetSourceLabels()) {
				continue
			}
			if m.GetSourceSubnet() != "" {
				s.notTranslated(at+".sourceSubnet", "it has no effect in Istio either; use sourceLabels, until then the match is left out")
				continue
			}
			prefixes, ok := s.prefixes(at+".destinationSubnets", m.GetDestinationSubnets())
			if !ok {
				continue
			}
			chain := &ir.FilterChain{Match: ir.ChainMatch{DestinationPrefixes: prefixes}, TCP: proxy}
			out = append(out, chain)
			if takesAll(chain) {
				return out
			}
		}
	}
	return out
}

// distinct drops chains whose match an earlier rule has: Envoy refuses a listener with two.
func (s *ruleSet) distinct(chains []*ir.FilterChain) []*ir.FilterChain {
	var out []*ir.FilterChain
	named := map[string]bool{}
	for _, c := range chains {
		c.Match.ServerNames = slices.DeleteFunc(c.Match.ServerNames, func(n string) bool {
			key := n + " " + strings.Join(c.Match.DestinationPrefixes, ",")
			if named[key] {
				return true
			}
			named[key] = true
			return false
		})
		if len(c.Match.ServerNames) == 0 && c.Match.TransportProtocol == "" && len(named) > 0 && !takesAll(c) && len(c.Match.DestinationPrefixes) == 0 {
			continue
		}
		if !slices.ContainsFunc(out, func(o *ir.FilterChain) bool { return reflect.DeepEqual(o.Match, c.Match) }) {
			out = append(out, c)
		}
	}
	return out
}

// prefixes checks subnets; a lone address is one of full length.
func (s *ruleSet) prefixes(field string, subnets []string) ([]string, bool) {
	var out []string
	for i, text := range subnets {
		p, err := netip.ParsePrefix(text)
		if a, errAddr := netip.ParseAddr(text); err != nil && errAddr == nil {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil {
			s.invalid(fmt.Sprintf("%s[%d]", field, i), fmt.Sprintf("%q is no subnet such as 10.0.0.0/8; the match is left out", text))
			return nil, false
		}
		out = append(out, p.Masked().String())
	}
	slices.Sort(out)
	return slices.Compact(out), true
}

// tcpProxy translates the weighted destinations of a tls or tcp rule, or gives nil where they
// are broken.
func (s *ruleSet) tcpProxy(field string, routes []*networking.RouteDestination) *ir.TCPProxy {
	if len(routes) == 0 {
		s.invalid(field+".route", "the rule has no destination; it is left out")
		return nil
	}
	weights := make([]int32, len(routes))
	for i, d := range routes {
		weights[i] = d.GetWeight()
	}
	shares, ok := s.weights(field+".route", weights)
	if !ok {
		return nil
	}
	out := &ir.TCPProxy{AccessLog: accessLog(s.r), Config: configPath(s.vs.Object, "virtual-service")}
	for i, d := range routes {
		if shares[i] == 0 {
			continue
		}
		t, ok := s.destination(fmt.Sprintf("%s.route[%d].destination", field, i), d.GetDestination())
		if !ok {
			return nil
		}
		if len(out.Clusters) == 0 {
			out.StatPrefix, out.Policy = t.cluster, t.tcpPolicy(s.r, s.c)
		}
		out.Clusters = append(out.Clusters, ir.WeightedCluster{Name: t.cluster, Weight: shares[i]})
	}
	return out
}
