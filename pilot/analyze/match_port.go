package analyze

import (
	"fmt"
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// requestRoutesOfTCP finds rules for requests where there are none: for sidecars on ports of Services that take no HTTP,
// for gateways on those of servers that do not route requests.
func requestRoutesOfTCP(m *mesh) {
	for _, vs := range of[*networking.VirtualService](m, model.KindVirtualService) {
		if len(vs.spec.GetHttp()) == 0 {
			continue
		}
		p := requestPlaces{m, vs, m.hostPorts(vs)}
		if p.forSidecars() && p.allOpaque() {
			m.report(vs.Object, "spec.http", "", Warning, "no port of its hosts takes HTTP by its name in the Service, so sidecars have no use for the rules; write tcp or tls rules, or name the port by its protocol")
			continue
		}
		for i, rule := range vs.spec.GetHttp() {
			for j, match := range rule.GetMatch() {
				if why := p.refusal(match); why != "" {
					m.report(vs.Object, fmt.Sprintf("spec.http[%d].match[%d].port", i, j), "", Warning, "port %d of %s", match.GetPort(), why)
				}
			}
		}
	}
}

// requestPlaces are where the rules of a VirtualService may see requests.
type requestPlaces struct {
	*mesh
	vs    object[*networking.VirtualService]
	ports map[uint32]model.Protocol // of its hosts
}

// hostPorts gives the ports of the services that a VirtualService has as hosts.
func (m *mesh) hostPorts(vs object[*networking.VirtualService]) map[uint32]model.Protocol {
	ports := map[uint32]model.Protocol{}
	for _, short := range vs.spec.GetHosts() {
		for _, svc := range m.hosts[model.ResolveHost(short, vs.Namespace, m.domain)] {
			for _, p := range svc.Ports {
				ports[p.Port] = p.Protocol
			}
		}
	}
	return ports
}

// gateways gives the names of where a match holds.
func (p *requestPlaces) gateways(match *networking.HTTPMatchRequest) []string {
	for _, names := range [][]string{match.GetGateways(), p.vs.spec.GetGateways()} {
		if len(names) > 0 {
			return names
		}
	}
	return []string{model.MeshGateway}
}

// forSidecars tells whether some rule is for them.
func (p *requestPlaces) forSidecars() bool {
	if !model.BoundToMesh(p.vs.spec.GetGateways()) {
		return false
	}
	return slices.ContainsFunc(p.vs.spec.GetHttp(), func(rule *networking.HTTPRoute) bool {
		return len(rule.GetMatch()) == 0 || slices.ContainsFunc(rule.GetMatch(), func(match *networking.HTTPMatchRequest) bool {
			return slices.Contains(p.gateways(match), model.MeshGateway)
		})
	})
}

func (p *requestPlaces) opaque(port uint32) bool {
	protocol, known := p.ports[port]
	return known && !protocol.IsHTTP() && protocol != model.ProtocolAuto
}

// allOpaque tells that no port takes HTTP, of those that there are.
func (p *requestPlaces) allOpaque() bool {
	for port := range p.ports {
		if !p.opaque(port) {
			return false
		}
	}
	return len(p.ports) > 0
}

// refusal says why a match sees no request on its port; "" where it may see some, or nothing is known of the port.
func (p *requestPlaces) refusal(match *networking.HTTPMatchRequest) (why string) {
	port := match.GetPort()
	if port == 0 {
		return ""
	}
	for _, name := range p.gateways(match) {
		if name == model.MeshGateway {
			if !p.opaque(port) {
				return ""
			}
			why = "its hosts takes no HTTP by its name in the Service, so the match holds for no request; write a tcp or tls rule, or name the port by its protocol"
			continue
		}
		gw := p.gatewayNamed(name, p.vs.Namespace)
		if gw == nil {
			return "" // that is told of its name
		}
		has, routes := serverRoutes(gw, port)
		if routes {
			return ""
		}
		if has && why == "" {
			why = gw.Key.String() + " is of no server that routes requests, so the match holds for none; write a tcp or tls rule, or change the server's protocol"
		}
	}
	return why
}

// serverRoutes tells whether a Gateway has servers of a port, and whether one routes requests.
func serverRoutes(gw *model.Object, port uint32) (has, routes bool) {
	for _, s := range gw.Spec.(*networking.Gateway).GetServers() {
		if s.GetPort().GetNumber() == port {
			takes, known := resolve.RulesOf(s)
			has, routes = true, routes || takes.HTTP || !known
		}
	}
	return has, routes
}
