package authz

import (
	"errors"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// Chain gives the filter chain of an inbound listener that takes a call: by its port, by whether the
// client has a certificate, and by whether it is a request.
func Chain(l *ir.Listener, call *Call) (*ir.FilterChain, error) {
	var general *ir.FilterChain
	for _, c := range l.Chains {
		secure, wanted := c.TLS != nil, call.Identity != ""
		if secure != wanted || !wanted && c.Match.TransportProtocol == ir.TransportTLS || takesRequests(c) != (call.Request != nil) {
			continue
		}
		switch c.Match.DestinationPort {
		case call.Port:
			return c, nil
		case 0:
			if general == nil {
				general = c
			}
		}
	}
	own := slices.ContainsFunc(l.Chains, func(c *ir.FilterChain) bool { return c.Match.DestinationPort == call.Port })
	switch {
	case general != nil && !own:
		return general, nil
	case call.Identity == "":
		return nil, errors.New("the port takes mutual TLS only, as its PeerAuthentication says, or another protocol; the connection is refused")
	}
	return nil, errors.New("the port takes no mutual TLS, as its PeerAuthentication says, or another protocol; who calls is not known")
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
