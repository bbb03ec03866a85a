package resolve

// ServedRoutes is what patches may ask of a route configuration.
type ServedRoutes struct {
	Numbers []uint32 // ports of its servers, as clients know them
	// PortName and Gateway (namespace/name) are of its only server; "" where servers share it.
	PortName, Gateway string
}

// Served tells of a route configuration what patches may ask for.
func (p *GatewayPlan) Served(route string) ServedRoutes { return p.routes[route].served }

// add takes in a server of the route configuration.
func (r *ServedRoutes) add(s *gatewayServer) {
	r.Numbers = distinct(append(r.Numbers, s.number()))
	if s.serves == servesHTTPS {
		r.PortName, r.Gateway = s.spec.GetPort().GetName(), s.name()
	}
}
