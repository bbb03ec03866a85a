package authz

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// GatewayChain gives the filter chain of a gateway that takes a call: by its port, and where servers speak TLS by the
// name in the handshake. A call to a server that asks clients for no certificate loses its identity, and one
// whose requests the server does not see its request. The error is a *Mismatch.
func GatewayChain(all []*ir.Listener, call *Call) (*ir.FilterChain, error) {
	i := slices.IndexFunc(all, func(l *ir.Listener) bool { return l.Port == call.Port })
	if i < 0 {
		return nil, &Mismatch{Port: call.Port, Kind: NobodyListens}
	}
	chain := named(all[i].Chains, call.ServerName)
	switch {
	case chain == nil:
		return nil, &Mismatch{Port: call.Port, Kind: NoServer, ServerName: call.ServerName}
	case !AsksClients(chain):
		call.Identity = ""
	case chain.TLS.RequireClientCert && call.Identity == "":
		return nil, &Mismatch{Port: call.Port, Kind: NeedsMutualTLS}
	}
	if domains := foreignTo(chain, call.Identity); len(domains) > 0 {
		return nil, &Mismatch{Port: call.Port, Kind: TakesOtherTrustDomains, TrustDomains: domains}
	}
	switch http := takesRequests(chain); {
	case http && call.Request == nil:
		return nil, &Mismatch{Port: call.Port, Kind: NeedsHTTP}
	case !http:
		call.Request = nil
	}
	return chain, nil
}

// named gives the chain that is for a name in the TLS handshake as Envoy finds it: its own, that of the longest
// wildcard, or one for all. Where there is no name, a chain that wants none.
func named(all []*ir.FilterChain, name string) *ir.FilterChain {
	var best *ir.FilterChain
	length := -1
	for _, c := range all {
		if len(c.Match.ServerNames) == 0 && length < 0 {
			best, length = c, 0
		}
		for _, n := range c.Match.ServerNames {
			suffix, wild := strings.CutPrefix(n, "*")
			switch {
			case n == name:
				return c
			case wild && strings.HasSuffix(name, suffix) && len(suffix) > length:
				best, length = c, len(suffix)
			}
		}
	}
	return best
}

// AsksClients tells whether a chain's server asks clients for a certificate.
func AsksClients(c *ir.FilterChain) bool {
	return c.TLS != nil && (c.TLS.RootSecret != "" || c.TLS.RequireClientCert)
}

// GatewayPorts gives those on which a gateway listens.
func GatewayPorts(all []*ir.Listener) []uint32 {
	var out []uint32
	for _, l := range all {
		out = append(out, l.Port)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// noServer says that no server of a gateway is for a call.
func (m *Mismatch) noServer() string {
	if m.Kind == NobodyListens {
		return fmt.Sprintf("no server of a Gateway listens on port %d", m.Port)
	}
	if m.ServerName == "" {
		return fmt.Sprintf("the servers of port %d are found by the name in the TLS handshake, and the client gives none", m.Port)
	}
	return fmt.Sprintf("no server of port %d is for the name %s in the TLS handshake", m.Port, m.ServerName)
}
