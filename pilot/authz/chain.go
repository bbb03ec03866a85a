package authz

import "github.com/pilothouse-mesh/pilothouse/pilot/ir"

// Filters gives the rules that a filter chain asks, in order: of requests if it takes such, else of
// connections.
func Filters(chain *ir.FilterChain) []*ir.RBAC {
	var out []*ir.RBAC
	for _, f := range chain.Filters {
		switch f := f.(type) {
		case *ir.RBAC:
			out = append(out, f)
		case *ir.HTTPConnectionManager:
			for _, h := range f.Filters {
				if r, ok := h.(*ir.RBAC); ok {
					out = append(out, r)
				}
			}
		}
	}
	return out
}
