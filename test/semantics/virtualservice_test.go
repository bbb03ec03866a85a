package semantics

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// What VirtualServices say: who sees them, in which order, and which of their rules are for a client.

// rank tells how near an object exported so is to a namespace: 0 for what only that namespace sees, its own, 1 for what is
// exported to it by name, 2 for what everyone sees. Not ok tells that it does not see it.
func rank(exportTo []string, own, from string) (rank int, ok bool) {
	switch {
	case len(exportTo) == 0 || slices.Contains(exportTo, "*"):
		return 2, true
	case slices.Contains(exportTo, "~"):
		return 0, false
	case own == from:
		return 0, slices.Contains(exportTo, ".") || slices.Contains(exportTo, own)
	}
	return 1, slices.Contains(exportTo, from)
}

// boundTo gives the VirtualServices that a namespace sees and that are bound to a gateway, or to "mesh", in the order
// in which they count. Delegates are in the place of the rules that name them, and are no VirtualServices of their own.
func (m *mesh) boundTo(gateway, namespace string) []*virtualService {
	var out []*virtualService
	for _, v := range m.rules {
		_, seen := rank(v.GetExportTo(), v.namespace, namespace)
		if seen && len(v.GetHosts()) > 0 && (slices.Contains(v.GetGateways(), gateway) || gateway == "mesh" && len(v.GetGateways()) == 0) {
			out = append(out, m.delegated(v))
		}
	}
	slices.SortFunc(out, func(a, b *virtualService) int {
		x, _ := rank(a.GetExportTo(), a.namespace, namespace)
		y, _ := rank(b.GetExportTo(), b.namespace, namespace)
		return cmp.Or(cmp.Compare(x, y), older(a.meta, b.meta))
	})
	return out
}

// route is one match of a rule, nil where it takes everything, and what the rule does.
type route struct {
	match *networking.HTTPMatchRequest
	rule  *networking.HTTPRoute
	port  uint32 // at which it is asked
}

// everything tells that it takes all requests: what follows it is never reached.
func (r *route) everything() bool {
	m := r.match
	uri := m.GetUri()
	return m == nil || (uri == nil || uri.GetPrefix() == "/" || uri.GetRegex() == ".*") && m.GetMethod() == nil && m.GetAuthority() == nil && m.GetScheme() == nil &&
		len(m.GetHeaders()) == 0 && len(m.GetWithoutHeaders()) == 0 && len(m.GetQueryParams()) == 0
}

// conditions are what a match of any protocol says about the client, and where it is asked.
type conditions interface {
	GetGateways() []string
	GetSourceLabels() map[string]string
	GetSourceNamespace() string
	GetPort() uint32
}

// concerns tells whether a match is for a client at a gateway, or "mesh", and port.
func (c *client) concerns(m conditions, gateway string, port uint32) bool {
	return (len(m.GetGateways()) == 0 || slices.Contains(m.GetGateways(), gateway)) && c.carries(m.GetSourceLabels()) &&
		(m.GetSourceNamespace() == "" || m.GetSourceNamespace() == c.namespace) && (m.GetPort() == 0 || m.GetPort() == port)
}

// routes gives the HTTP routes of a VirtualService that are for a client, to the first that takes everything.
func (v *virtualService) routes(c *client, gateway string, port uint32) []*route {
	var out []*route
	for _, rule := range v.GetHttp() {
		if len(rule.GetMatch()) == 0 {
			return append(out, &route{nil, rule, port})
		}
		for _, match := range rule.GetMatch() {
			if !c.concerns(match, gateway, port) {
				continue
			}
			r := &route{match, rule, port}
			out = append(out, r)
			if r.everything() {
				return out
			}
		}
	}
	return out
}

// do gives what a route does with a request, as an outcome's text says it.
func (r *route) do() string {
	switch {
	case r.rule.GetDirectResponse() != nil:
		return fmt.Sprint(r.rule.GetDirectResponse().GetStatus())
	case r.rule.GetRedirect() != nil:
		return "301 to " + r.rule.GetRedirect().GetAuthority()
	}
	shares := map[string]float64{}
	for _, d := range r.rule.GetRoute() {
		shares[cluster(d.GetDestination(), r.port)] += float64(d.GetWeight())
	}
	return forwarded(shares)
}

// bytesTo gives where the destinations of a rule of TCP or TLS lead.
func bytesTo(destinations []*networking.RouteDestination, port uint32) string {
	shares := map[string]float64{}
	for _, d := range destinations {
		shares[cluster(d.GetDestination(), port)] += float64(d.GetWeight())
	}
	return forwarded(shares)
}

// forwarded tells of shares, which need not add up to a hundred; one alone has all, whatever its weight.
func forwarded(shares map[string]float64) string {
	whole := 0.0
	for _, share := range shares {
		whole += share
	}
	var out []string
	for name, share := range shares {
		switch {
		case len(shares) == 1:
			out = append(out, name)
		case share > 0:
			out = append(out, fmt.Sprintf("%s %.1f%%", name, 100*share/whole))
		}
	}
	if len(out) == 1 {
		out[0] = strings.TrimSuffix(out[0], " 100.0%")
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// cluster names a destination. One without a port means the only one of the service, else the one that was asked.
func cluster(d *networking.Destination, port uint32) string {
	if d.GetPort() != nil {
		port = d.GetPort().GetNumber()
	} else if s := named(d.GetHost()); s != nil && len(s.ports) == 1 {
		for port = range s.ports {
		}
	}
	return fmt.Sprintf("outbound|%d|%s|%s", port, d.GetSubset(), d.GetHost())
}

// within tells whether all names of one host are names of another, which may be wildcards both.
func within(host, other string) bool {
	suffix, wild := strings.CutPrefix(other, "*")
	inner, innerWild := strings.CutPrefix(host, "*")
	switch {
	case wild && innerWild:
		return strings.HasSuffix(inner, suffix)
	case wild:
		return strings.HasSuffix(host, suffix)
	}
	return host == other
}

// overlap tells whether two hosts have names in common.
func overlap(a, b string) bool { return within(a, b) || within(b, a) }

// closest gives the host of several that is the most specific of those that cover a name; "" for none.
func closest(hosts []string, name string) string {
	best := ""
	for _, h := range hosts {
		switch {
		case h == name:
			return h
		case within(name, h) && len(h) > len(best):
			best = h
		}
	}
	return best
}
