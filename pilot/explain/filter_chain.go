package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
)

// criterion is one by which Envoy narrows filter chains down. It keeps those that match best, and never
// goes back to one that it has dropped (Envoy API config.listener.v3.FilterChainMatch).
type criterion struct {
	name string
	// fit is negative for a chain that does not match, 0 for one that asks for nothing, else the higher the
	// better it matches.
	fit func(*listenerv3.FilterChainMatch) int
	// wants says what a chain asks for; empty for nothing.
	wants func(*listenerv3.FilterChainMatch) string
}

// chain finds the filter chain, and goes on with its filters.
func (w *walk) chain(l *listenerv3.Listener, conn inspected) {
	chains, details := l.GetFilterChains(), []string(nil)
	for _, c := range w.criteria(conn) {
		var misses []string
		chains, misses = narrow(l, chains, c)
		details = append(details, misses...)
	}
	var chosen *listenerv3.FilterChain
	switch {
	case len(chains) > 0:
		chosen = chains[0]
	case l.GetDefaultFilterChain() != nil:
		chosen = l.GetDefaultFilterChain()
		details = append(details, "it is what the listener has for all that no other chain matches")
	default:
		w.closed("NR", fmt.Sprintf("no filter chain of listener %s matches the connection (%s): it is closed", l.GetName(), conn))
		w.step(StageFilterChain, "", w.answer.Outcome.Reason, nil, details...)
		return
	}
	wants := "everything"
	if chosen != l.GetDefaultFilterChain() {
		if s := w.describe(chosen.GetFilterChainMatch(), conn); s != "" {
			wants = s
		}
	}
	part := Part{Object: source(chosen.GetMetadata()), Chain: chosen, Port: port(l.GetAddress())}
	w.stepOf(StageFilterChain, chainName(l, chosen), "matches "+wants, part, append(details, w.patched(l, chosen)...)...)
	w.terminate(chosen)
}

// chainName names a chain of a listener; one without a name by its place.
func chainName(l *listenerv3.Listener, c *listenerv3.FilterChain) string {
	if name := c.GetName(); name != "" {
		return name
	}
	if c == l.GetDefaultFilterChain() {
		return l.GetName() + "[default]"
	}
	return fmt.Sprintf("%s[%d]", l.GetName(), slices.Index(l.GetFilterChains(), c))
}

// narrow keeps the chains of a listener that match best, and says what the others wanted.
func narrow(l *listenerv3.Listener, chains []*listenerv3.FilterChain, c criterion) (kept []*listenerv3.FilterChain, misses []string) {
	best := -1
	for _, f := range chains {
		best = max(best, c.fit(f.GetFilterChainMatch()))
	}
	for _, f := range chains {
		switch fit := c.fit(f.GetFilterChainMatch()); {
		case fit < 0:
			misses = append(misses, fmt.Sprintf("chain %s did not match: it wants %s %s", chainName(l, f), c.name, c.wants(f.GetFilterChainMatch())))
		case fit == best:
			kept = append(kept, f)
		}
	}
	return kept, misses
}

func (c inspected) String() string {
	out := c.transport
	if c.sni != "" {
		out += ", SNI " + c.sni
	}
	if len(c.protocols) > 0 {
		out += ", " + strings.Join(c.protocols, " ")
	}
	return out
}

// describe lists all that a chain asks for.
func (w *walk) describe(m *listenerv3.FilterChainMatch, conn inspected) string {
	var out []string
	for _, c := range w.criteria(conn) {
		if s := c.wants(m); s != "" {
			out = append(out, c.name+" "+s)
		}
	}
	return strings.Join(out, ", ")
}

// criteria are all, in Envoy's order.
func (w *walk) criteria(conn inspected) []criterion {
	to, from := w.request.Destination, w.request.Source
	return []criterion{
		{
			"destination port",
			func(m *listenerv3.FilterChainMatch) int {
				return wanted(m.GetDestinationPort() == nil, m.GetDestinationPort().GetValue() == uint32(to.Port()))
			},
			func(m *listenerv3.FilterChainMatch) string {
				if m.GetDestinationPort() == nil {
					return ""
				}
				return fmt.Sprint(m.GetDestinationPort().GetValue())
			},
		},
		prefixes("destination", to.Addr(), (*listenerv3.FilterChainMatch).GetPrefixRanges),
		{
			"SNI", func(m *listenerv3.FilterChainMatch) int { return serverName(m.GetServerNames(), conn.sni) },
			func(m *listenerv3.FilterChainMatch) string { return strings.Join(m.GetServerNames(), " or ") },
		},
		{
			"transport",
			func(m *listenerv3.FilterChainMatch) int {
				return wanted(m.GetTransportProtocol() == "", m.GetTransportProtocol() == conn.transport)
			},
			(*listenerv3.FilterChainMatch).GetTransportProtocol,
		},
		{
			"application protocol", func(m *listenerv3.FilterChainMatch) int { return alpn(m.GetApplicationProtocols(), conn.protocols) },
			func(m *listenerv3.FilterChainMatch) string { return strings.Join(m.GetApplicationProtocols(), " or ") },
		},
		prefixes("direct source", from, (*listenerv3.FilterChainMatch).GetDirectSourcePrefixRanges),
		{
			"source", func(m *listenerv3.FilterChainMatch) int {
				local := from == to.Addr() || from.IsLoopback()
				return wanted(m.GetSourceType() == listenerv3.FilterChainMatch_ANY, local == (m.GetSourceType() == listenerv3.FilterChainMatch_SAME_IP_OR_LOOPBACK))
			},
			func(m *listenerv3.FilterChainMatch) string {
				return map[listenerv3.FilterChainMatch_ConnectionSourceType]string{
					listenerv3.FilterChainMatch_SAME_IP_OR_LOOPBACK: "on the same machine", listenerv3.FilterChainMatch_EXTERNAL: "elsewhere",
				}[m.GetSourceType()]
			},
		},
		prefixes("source", from, (*listenerv3.FilterChainMatch).GetSourcePrefixRanges),
	}
}

// wanted is the fit of a criterion that holds or does not.
func wanted(nothing, holds bool) int {
	switch {
	case nothing:
		return 0
	case holds:
		return 1
	}
	return -1
}

// prefixes matches an address; the longest prefix is the best.
func prefixes(name string, ip netip.Addr, ranges func(*listenerv3.FilterChainMatch) []*core.CidrRange) criterion {
	return criterion{
		name,
		func(m *listenerv3.FilterChainMatch) int {
			if len(ranges(m)) == 0 {
				return 0
			}
			best := -1
			for _, r := range ranges(m) {
				if p, ok := prefix(r); ok && ip.IsValid() && p.Contains(ip.Unmap()) {
					best = max(best, p.Bits()+1)
				}
			}
			return best
		},
		func(m *listenerv3.FilterChainMatch) string {
			var out []string
			for _, r := range ranges(m) {
				p, _ := prefix(r)
				out = append(out, p.String())
			}
			return strings.Join(out, " or ")
		},
	}
}

func prefix(r *core.CidrRange) (netip.Prefix, bool) {
	a, err := netip.ParseAddr(r.GetAddressPrefix())
	if err != nil {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, int(r.GetPrefixLen().GetValue())), true
}

// serverName matches a name: itself before the longest wildcard that covers it.
func serverName(names []string, sni string) int {
	if len(names) == 0 {
		return 0
	}
	best := -1
	for _, n := range names {
		suffix, wild := strings.CutPrefix(n, "*")
		switch {
		case n == sni:
			return 1 << 16
		case wild && len(sni) > len(suffix) && strings.HasSuffix(sni, suffix):
			best = max(best, len(suffix))
		}
	}
	return best
}

// alpn matches protocols; that which the client names first is the best.
func alpn(names, offered []string) int {
	if len(names) == 0 {
		return 0
	}
	for i, p := range offered {
		if slices.Contains(names, p) {
			return len(offered) - i
		}
	}
	return -1
}
