package semantics

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
)

// What happens to connections whose bytes nobody reads: rules of TCP and TLS, at sidecars and at gateways.

// chain is where connections go that are for an address in subnets, and in TLS for one of names; nil is for any.
type chain struct {
	subnets []string
	names   []string
	to      string
	serve   *server // at a gateway, in the place of to: the server that ends TLS and reads requests
	istio   bool    // only for handshakes of sidecars
}

// chosen gives the chain that takes a connection, nil for none. The narrowest subnet counts before names, and exact names
// before wildcards; of chains that say the same, the first.
func chosen(chains []chain, to netip.Addr, sni string) *chain {
	narrowest := -1
	for _, c := range chains {
		narrowest = max(narrowest, c.width(to))
	}
	var out *chain
	best := ""
	for i := range chains {
		c := &chains[i]
		if c.width(to) != narrowest {
			continue
		}
		name := "any"
		if len(c.names) > 0 {
			if name = closest(c.names, sni); name == "" {
				continue
			}
		}
		if out == nil || better(name, best, sni) {
			out, best = c, name
		}
	}
	return out
}

// better tells whether a name by which a chain takes a server's is more specific than another chain's.
func better(name, best, sni string) bool {
	rank := func(n string) int {
		switch n {
		case "any":
			return 0
		case sni:
			return 1 << 10
		}
		return len(n)
	}
	return rank(name) > rank(best)
}

// width gives how many bits the narrowest subnet that holds an address has; 0 for a chain that is for any, -1 where none does.
func (c *chain) width(to netip.Addr) int {
	if c.subnets == nil {
		return 0
	}
	bits := -1
	for _, s := range c.subnets {
		if p := netip.MustParsePrefix(s); p.Contains(to) {
			bits = max(bits, p.Bits())
		}
	}
	return bits
}

// connected gives where a sidecar sends a connection.
func (m *mesh) connected(c *client, q *explain.Request) string {
	port := uint32(q.Destination.Port())
	own, rest := m.egressAt(c, port)
	l := own
	service := connectedTo(own, c, q)
	if service == nil { // what no service of the port's own listener has
		l, service = rest, connectedTo(rest, c, q)
	}
	if service == nil {
		return passthrough
	}
	rules := slices.DeleteFunc(m.rulesFor(c, l), func(v *virtualService) bool {
		return !slices.ContainsFunc(v.GetHosts(), func(h string) bool { return overlap(h, service.host) })
	})
	direct := chain{to: forwarded(map[string]float64{fmt.Sprintf("outbound|%d||%s", port, service.host): 1})}
	var chains []chain
	sni := ""
	if service.ports[port] == "tls" {
		chains = tlsChains(c, rules, "mesh", port)
		if q.TLS != nil {
			sni = strings.ToLower(q.TLS.SNI)
		}
		if service.address == "" {
			direct.names = []string{service.host}
		}
		if len(chains) == 0 {
			chains = append(chains, direct)
		}
	} else {
		chains = append(tcpChains(c, rules, port), direct)
	}
	if found := chosen(chains, q.Destination.Addr(), sni); found != nil {
		return found.to
	}
	return passthrough
}

// connectedTo gives the service to whose address a connection goes, by a listener; nil for none.
func connectedTo(l *egress, c *client, q *explain.Request) *service {
	var out *service
	port := uint32(q.Destination.Port())
	for _, s := range append(servicesAt(l, c, port, "tcp"), servicesAt(l, c, port, "tls")...) {
		if s.address == q.Destination.Addr().String() || s.address == "" && out == nil {
			out = s
		}
	}
	return out
}

// tcpChains gives those of the TCP rules for a client, to the first that is for every address.
func tcpChains(c *client, rules []*virtualService, port uint32) []chain {
	var out []chain
	for _, v := range rules {
		for _, rule := range v.GetTcp() {
			to := bytesTo(rule.GetRoute(), port)
			if len(rule.GetMatch()) == 0 {
				return append(out, chain{to: to})
			}
			for _, match := range rule.GetMatch() {
				if !c.concerns(match, "mesh", port) {
					continue
				}
				if len(match.GetDestinationSubnets()) == 0 {
					return append(out, chain{to: to})
				}
				out = append(out, chain{subnets: match.GetDestinationSubnets(), to: to})
			}
		}
	}
	return out
}

// tlsChains gives those of the TLS rules for a client.
func tlsChains(c *client, rules []*virtualService, gateway string, port uint32) []chain {
	var out []chain
	for _, v := range rules {
		for _, rule := range v.GetTls() {
			for _, match := range rule.GetMatch() {
				if c.concerns(match, gateway, port) {
					out = append(out, chain{names: match.GetSniHosts(), to: bytesTo(rule.GetRoute(), port)})
				}
			}
		}
	}
	return out
}
