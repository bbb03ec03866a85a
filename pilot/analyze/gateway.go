package analyze

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// hasGateway tells whether there is the Gateway that a problem's field, of a VirtualService, names.
func (m *mesh) hasGateway(p model.Problem) bool {
	index, _, _ := strings.Cut(strings.TrimPrefix(p.Field, gatewaysField), "]")
	at, err := strconv.Atoi(index)
	if err != nil {
		return false
	}
	o := m.object(p.Object)
	if o == nil {
		return false
	}
	vs, ok := o.Spec.(*networking.VirtualService)
	return ok && at < len(vs.GetGateways()) && m.gatewayNamed(vs.GetGateways()[at], o.Namespace) != nil
}

// gatewayNamed gives the Gateway that a VirtualService of a namespace means by a name; nil for none.
func (m *mesh) gatewayNamed(name, namespace string) *model.Object {
	namespace, name, _ = strings.Cut(model.GatewayName(name, namespace), "/")
	return m.object(model.Key{Kind: model.KindGateway, Namespace: namespace, Name: name})
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

// ingressLabels are those of the gateway that Istio's default profile installs, and `pilotctl up` runs.
func ingressLabels() map[string]string {
	return map[string]string{"app": "istio-ingressgateway", "istio": "ingressgateway"}
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
		case model.HasLabels(ingressLabels(), gw.spec.GetSelector()):
			m.report(gw.Object, "spec.selector", notFound, Info,
				"no workload of these files has the labels %s; `pilotctl up` runs such a gateway by itself, a cluster has to have one", shown(gw.spec.GetSelector()))
		default:
			m.report(gw.Object, "spec.selector", notFound, Error,
				"no workload has the labels %s, so nothing is served; deploy a gateway with them, or correct the selector", shown(gw.spec.GetSelector()))
		}
	}
}

func shown(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, ",")
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
	gateway object[*networking.Gateway]
	at      int // of the Gateway among all
	server  *networking.Server
	field   string
}

// servers gives those of all Gateways, in order.
func (m *mesh) servers() []neighbour {
	var out []neighbour
	for at, gw := range of[*networking.Gateway](m, model.KindGateway) {
		for i, s := range gw.spec.GetServers() {
			out = append(out, neighbour{gw, at, s, fmt.Sprintf("spec.servers[%d]", i)})
		}
	}
	return out
}

// listening is where servers meet each other.
type listening struct {
	port uint32
	bind string
}

func (n neighbour) listening() listening {
	return listening{n.server.GetPort().GetNumber(), model.CanonicalIP(n.server.GetBind())}
}

// conflictingGateways finds Gateways of one workload that want the same port for one host twice, or for
// protocols that exclude each other.
func conflictingGateways(m *mesh) {
	type wanted struct {
		listening
		clear bool
		host  string
	}
	ports, hosts := map[wanted][]neighbour{}, map[wanted][]neighbour{} // earlier ones
	for _, n := range m.servers() {
		at := wanted{listening: n.listening(), clear: clearText(n.server)}
		other := at
		other.clear = !at.clear
		for _, o := range ports[other] {
			if m.meets(o, n) {
				m.reportPair(n.gateway.Object, o.gateway.Object, n.field+".port", conflictingGateway, Error, "wants port %d of the same workload for protocol %s, this one for %s; a port is either encrypted or not, use another one",
					at.port, o.server.GetPort().GetProtocol(), n.server.GetPort().GetProtocol())
			}
		}
		ports[at] = append(ports[at], n)
		for i, host := range n.server.GetHosts() {
			namespace, name := m.serverHost(n.gateway.Namespace, host)
			at.host = name
			for _, o := range hosts[at] {
				if m.meets(o, n) && m.sharesHost(o, name, namespace) {
					m.reportPair(n.gateway.Object, o.gateway.Object, fmt.Sprintf("%s.hosts[%d]", n.field, i), conflictingGateway, Error,
						"serves host %q on port %d of the same workload as well; keep it in one Gateway", host, at.port)
				}
			}
			hosts[at] = append(hosts[at], n)
		}
	}
}

// sharesHost tells whether a server has a host for the VirtualServices of a namespace, "*" for those of all.
func (m *mesh) sharesHost(n neighbour, name, namespace string) bool {
	return slices.ContainsFunc(n.server.GetHosts(), func(host string) bool {
		of, other := m.serverHost(n.gateway.Namespace, host)
		return other == name && (of == namespace || of == "*" || namespace == "*")
	})
}

// meets tells whether two servers are of two Gateways of one workload.
func (m *mesh) meets(a, b neighbour) bool {
	return a.at != b.at && m.sameWorkload(a.gateway.spec.GetSelector(), b.gateway.spec.GetSelector())
}

// sameWorkload tells whether two selectors select a workload in common, or, where they select none, the
// same labels.
func (m *mesh) sameWorkload(a, b map[string]string) bool {
	if maps.Equal(a, b) {
		return true
	}
	return slices.ContainsFunc(m.selected("", a), func(w *workload) bool { return model.HasLabels(w.meta.Labels, b) })
}

// clearText tells whether a server's port is not encrypted.
func clearText(s *networking.Server) bool {
	switch strings.ToUpper(s.GetPort().GetProtocol()) {
	case "HTTPS", "TLS":
		return false
	}
	return s.GetTls() == nil || s.GetTls().GetHttpsRedirect()
}
