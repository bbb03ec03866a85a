package analyze

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// hasGateway tells whether there is the Gateway that a problem's field, of a VirtualService, names.
func (m *mesh) hasGateway(p model.Problem) bool { return m.object(m.gatewayMeant(p)) != nil }

// gatewayMeant gives the key of the Gateway that a problem's field, of a VirtualService, names; an empty one for none.
func (m *mesh) gatewayMeant(p model.Problem) model.Key {
	index, _, _ := strings.Cut(strings.TrimPrefix(p.Field, gatewaysField), "]")
	at, err := strconv.Atoi(index)
	o := m.object(p.Object)
	if err != nil || o == nil {
		return model.Key{}
	}
	vs, ok := o.Spec.(*networking.VirtualService)
	if !ok || at >= len(vs.GetGateways()) {
		return model.Key{}
	}
	return gatewayKey(vs.GetGateways()[at], o.Namespace)
}

// gatewayKey gives the key of the Gateway that a VirtualService of a namespace means by a name.
func gatewayKey(name, namespace string) model.Key {
	namespace, name, _ = strings.Cut(model.GatewayName(name, namespace), "/")
	return model.Key{Kind: model.KindGateway, Namespace: namespace, Name: name}
}

// gatewayNamed gives the Gateway that a VirtualService of a namespace means by a name; nil for none.
func (m *mesh) gatewayNamed(name, namespace string) *model.Object {
	return m.object(gatewayKey(name, namespace))
}

// gatewaysOf gives the Gateways that a VirtualService names, each once.
func (m *mesh) gatewaysOf(vs object[*networking.VirtualService]) []object[*networking.Gateway] {
	var out []object[*networking.Gateway]
	for _, name := range vs.spec.GetGateways() {
		o := m.gatewayNamed(name, vs.Namespace)
		if o == nil || slices.ContainsFunc(out, func(g object[*networking.Gateway]) bool { return g.Object == o }) {
			continue
		}
		if spec, ok := o.Spec.(*networking.Gateway); ok {
			out = append(out, object[*networking.Gateway]{o, spec})
		}
	}
	return out
}

// serverHost takes apart NAMESPACE/HOST of a Gateway's server.
func (m *mesh) serverHost(own, host string) (namespace, name string) {
	namespace, name, found := strings.Cut(host, "/")
	if !found {
		namespace, name = "*", host
	}
	if namespace == "." {
		namespace = own
	}
	return namespace, model.CanonicalHost(name)
}

// gatewaysWithoutWorkload finds Gateways that select nobody. The usual ingress gateway is seldom among
// the files of those who use it.
func gatewaysWithoutWorkload(m *mesh) {
	for _, gw := range of[*networking.Gateway](m, model.KindGateway) {
		selected := m.selected("", gw.spec.GetSelector())
		switch {
		case len(selected) > 0 && !slices.ContainsFunc(selected, func(w *workload) bool { return w.proxy != model.SidecarProxy }):
			m.report(gw.Object, "spec.selector", noWorkloads, Warning,
				"it selects %s, whose proxy is a sidecar, so it has no effect there; select the pods of a gateway", selected[0])
		case len(selected) > 0:
		case m.seldomAmongFiles("", gw.spec.GetSelector()):
			m.report(gw.Object, "spec.selector", notFound, Info,
				"no workload of these files has the labels %s; `pilotctl up` runs such a gateway by itself, a cluster has to have one", model.LabelSet(gw.spec.GetSelector()))
		default:
			m.report(gw.Object, "spec.selector", notFound, Error,
				"no workload has the labels %s, so nothing is served; deploy a gateway with them, or correct the selector", model.LabelSet(gw.spec.GetSelector()))
		}
	}
}

// gatewayPortsWithoutService finds servers on ports that no Service of the gateway's workload leads to. A server's
// port is that of a Service, which says where the gateway listens, or the one on which it listens.
func gatewayPortsWithoutService(m *mesh) {
	services := m.servicesOfWorkloads()
	for _, gw := range of[*networking.Gateway](m, model.KindGateway) {
		reached, known := map[uint32]bool{}, false
		for _, w := range m.selected("", gw.spec.GetSelector()) {
			for _, svc := range services[w] {
				known = true
				for _, port := range svc.spec.Spec.Ports {
					reached[uint32(port.Port)], reached[targetPort(port, w)] = true, true
				}
			}
		}
		for i, s := range gw.spec.GetServers() {
			if known && !reached[s.GetPort().GetNumber()] {
				m.report(gw.Object, fmt.Sprintf("spec.servers[%d].port.number", i), gatewayPort, Warning,
					"no Service of the gateway's workload has the port or target port %d, so it is not reached by one; add it to the Service", s.GetPort().GetNumber())
			}
		}
	}
}

// targetPort gives the port of a workload's container to which a port of a Service leads; 0 for none.
func targetPort(port corev1.ServicePort, w *workload) uint32 {
	if name := port.TargetPort.StrVal; name != "" {
		for _, c := range w.spec.Containers {
			for _, p := range c.Ports {
				if p.Name == name {
					return uint32(p.ContainerPort)
				}
			}
		}
		return 0
	}
	if port.TargetPort.IntVal != 0 {
		return uint32(port.TargetPort.IntVal)
	}
	return uint32(port.Port)
}

// neighbour is a server of a Gateway.
type neighbour struct {
	gateway   object[*networking.Gateway]
	at        int // of the Gateway among all
	selection int // what it selects
	server    *networking.Server
	field     string
}

// neighbours are the servers of all Gateways, in the order in which they count, with what these select.
type neighbours struct {
	*selections
	servers []neighbour
}

func (m *mesh) servers() neighbours {
	all := of[*networking.Gateway](m, model.KindGateway)
	slices.SortStableFunc(all, func(a, b object[*networking.Gateway]) int { return model.Older(a.Object, b.Object) })
	var selectors []selector
	for _, gw := range all {
		selectors = append(selectors, selector{labels: gw.spec.GetSelector()})
	}
	out := neighbours{selections: m.selectionsOf(selectors)}
	for at, gw := range all {
		for i, s := range gw.spec.GetServers() {
			out.servers = append(out.servers, neighbour{gw, at, out.of(selectors[at]), s, fmt.Sprintf("spec.servers[%d]", i)})
		}
	}
	return out
}

// gateways gives the Gateways of servers.
func gateways(all []neighbour) []*model.Object {
	var out []*model.Object
	for _, n := range all {
		out = append(out, n.gateway.Object)
	}
	return out
}

// listening is where servers of Gateways meet each other that select the same.
type listening struct {
	port      uint32
	bind      string
	selection int
}

// listening gives the places at which a server meets others, first the one that it has itself.
func (all neighbours) listening(n neighbour) []listening {
	var out []listening
	for _, id := range all.meet(n.selection) {
		out = append(out, listening{n.server.GetPort().GetNumber(), model.CanonicalIP(n.server.GetBind()), id})
	}
	return out
}

// conflictingGateways finds Gateways of one workload that want the same port for one host twice, or for
// protocols that exclude each other.
func conflictingGateways(m *mesh) {
	all := m.servers()
	for _, n := range all.conflictingPorts() {
		m.reportPairs(n.gateway.Object, gateways(n.others), n.field+".port.protocol", conflictingGateway, Error,
			"wants port %d of the same workload for protocol %s, this one for %s; a port is either encrypted or not, use another one, until then this server is left out",
			n.server.GetPort().GetNumber(), n.others[0].server.GetPort().GetProtocol(), n.server.GetPort().GetProtocol())
	}
	m.conflictingServers(all)
}

// conflicting is a server with earlier ones that exclude it.
type conflicting struct {
	neighbour
	others []neighbour
}

func (all neighbours) conflictingPorts() []conflicting {
	type port struct {
		listening
		clear bool
	}
	var out []conflicting
	earlier := crowd[port, neighbour]{}
	for _, n := range all.servers {
		open, at := clearText(n.server), all.listening(n)
		var sides []port
		for _, l := range at {
			sides = append(sides, port{l, !open})
		}
		if others := earlier.before(n.at, sides...); len(others) > 0 {
			out = append(out, conflicting{n, others})
		}
		earlier.join(n.at, n, port{at[0], open})
	}
	return out
}

// conflictingServers finds those that have one host, as far as they have it for VirtualServices of one namespace.
func (m *mesh) conflictingServers(all neighbours) {
	type wanted struct {
		listening
		clear           bool
		host, namespace string // "*" for those that have the host for all namespaces, "" for those that have it for any
	}
	earlier := crowd[wanted, neighbour]{}
	for _, n := range all.servers {
		places := all.listening(n)
		for i, host := range n.server.GetHosts() {
			namespace, name := m.serverHost(n.gateway.Namespace, host)
			at := func(l listening, namespace string) wanted {
				return wanted{l, clearText(n.server), name, namespace}
			}
			var sides []wanted
			for _, l := range places {
				if namespace == "*" {
					sides = append(sides, at(l, ""))
				} else {
					sides = append(sides, at(l, "*"), at(l, namespace))
				}
			}
			if others := earlier.before(n.at, sides...); len(others) > 0 {
				loses := ""
				if n.server.GetTls() != nil && others[0].server.GetTls() != nil {
					loses = ", until then this server is left out"
				}
				m.reportPairs(n.gateway.Object, gateways(others), fmt.Sprintf("%s.hosts[%d]", n.field, i), conflictingGateway, Error,
					"serves host %q on port %d of the same workload as well; keep it in one Gateway%s", host, n.server.GetPort().GetNumber(), loses)
			}
			earlier.join(n.at, n, at(places[0], namespace), at(places[0], ""))
		}
	}
}

// clearText tells whether a server's port is not encrypted.
func clearText(s *networking.Server) bool {
	switch strings.ToUpper(s.GetPort().GetProtocol()) {
	case "HTTPS", "TLS":
		return false
	}
	return s.GetTls() == nil || s.GetTls().GetHttpsRedirect()
}
