package resolve

// ServedRoutes is what patches may ask of a route configuration.
type ServedRoutes struct {
	Numbers []uint32 // ports of its servers, as clients know them
	// PortName and Gateway (namespace/name) are of its only server; "" where servers share it.
	PortName, Gateway string
}

// HasRoutes tells whether there is one of the Routes.
func (p *GatewayPlan) HasRoutes(route string) bool { return p.routes[route] != nil }

// Served tells of a route configuration what patches may ask for.
func (p *GatewayPlan) Served(route string) ServedRoutes {
	var out ServedRoutes
	for _, s := range p.routes[route].servers {
		out.Numbers = append(out.Numbers, s.number())
		if s.serves == servesHTTPS {
			out.PortName, out.Gateway = s.spec.GetPort().GetName(), s.name()
		}
	}
	out.Numbers = distinct(out.Numbers)
	return out
}
