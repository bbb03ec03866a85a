package authz

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// Mismatch is why a port does not take a call at all.
type Mismatch struct {
	Port uint32
	Kind MismatchKind
	// TrustDomains are those of which the port takes certificates, where it does not take the caller's.
	TrustDomains []string
	// ServerName is that for which a gateway has no server.
	ServerName string
}

// MismatchKind is a cause of a Mismatch.
type MismatchKind uint8

// The causes: the client has no certificate, or one of a trust domain that is not taken; or a connection is no HTTP.
// A request to a port that takes no HTTP passes as bytes of a connection.
const (
	NeedsMutualTLS MismatchKind = iota
	NeedsHTTP
	TakesNoHTTP
	TakesOtherTrustDomains

	// Of a gateway: no listener is on the port, or no server of it is for the name in the TLS handshake.
	NobodyListens
	NoServer
)

// Error says which of them it is, in a sentence.
func (m *Mismatch) Error() string {
	switch m.Kind {
	case NeedsMutualTLS:
		return fmt.Sprintf("port %d takes mutual TLS only, and the client has no certificate", m.Port)
	case TakesOtherTrustDomains:
		return fmt.Sprintf("port %d takes certificates of %s only, so the handshake fails", m.Port, strings.Join(m.TrustDomains, ", "))
	case NobodyListens, NoServer:
		return m.noServer()
	case NeedsHTTP:
		return fmt.Sprintf("port %d takes HTTP, and this is another protocol", m.Port)
	}
	return fmt.Sprintf("port %d takes no HTTP", m.Port)
}

// Chain gives the filter chain of an inbound listener that takes a call: by its port, by whether the
// client has a certificate, of a trust domain that is taken, and by whether it is a request. A call to a port that
// takes no mutual TLS loses its identity: proxies of the mesh send plaintext there. The error is a *Mismatch.
func Chain(l *ir.Listener, call *Call) (*ir.FilterChain, error) {
	port := call.Port
	if !slices.Contains(Ports(l), port) {
		port = 0 // as all others
	}
	if !slices.ContainsFunc(l.Chains, func(c *ir.FilterChain) bool { return c.Match.DestinationPort == port && c.TLS != nil }) {
		call.Identity = ""
	}
	found, wanted := false, call.Identity != ""
	for _, c := range l.Chains {
		if c.Match.DestinationPort != port || (c.TLS != nil) != wanted || !wanted && c.Match.TransportProtocol == ir.TransportTLS {
			continue
		}
		if domains := foreignTo(c, call.Identity); len(domains) > 0 {
			return nil, &Mismatch{Port: call.Port, Kind: TakesOtherTrustDomains, TrustDomains: domains}
		}
		if takesRequests(c) == (call.Request != nil) {
			return c, nil
		}
		found = true
	}
	kind := NeedsMutualTLS
	switch {
	case found && call.Request != nil:
		kind = TakesNoHTTP
	case found:
		kind = NeedsHTTP
	}
	return nil, &Mismatch{Port: call.Port, Kind: kind}
}

// foreignTo gives the trust domains of which a chain takes certificates where an identity is of none of them.
func foreignTo(c *ir.FilterChain, identity string) []string {
	domain, _, _ := strings.Cut(strings.TrimPrefix(identity, scheme), "/")
	if identity == "" || c.TLS == nil || slices.Contains(c.TLS.TrustDomains, domain) {
		return nil
	}
	return c.TLS.TrustDomains
}

// Ports gives those for which an inbound listener has chains of their own, without its own port.
func Ports(l *ir.Listener) []uint32 {
	var out []uint32
	for _, c := range l.Chains {
		if p := c.Match.DestinationPort; p != 0 && p != l.Port {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func takesRequests(c *ir.FilterChain) bool {
	return slices.ContainsFunc(c.Filters, func(f ir.NetworkFilter) bool {
		_, ok := f.(*ir.HTTPConnectionManager)
		return ok
	})
}

// Path gives how paths are normalized before the filters of a chain see them.
func Path(c *ir.FilterChain) ir.PathNormalization {
	for _, f := range c.Filters {
		if m, ok := f.(*ir.HTTPConnectionManager); ok {
			return m.Path
		}
	}
	return ir.PathNormalization{}
}
