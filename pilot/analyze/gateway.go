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
	for _, vs := range of[*networking.VirtualService](m, model.KindVirtualService) {
		if vs.Key == p.Object && at < len(vs.spec.GetGateways()) {
			name := model.GatewayName(vs.spec.GetGateways()[at], vs.Namespace)
			return slices.ContainsFunc(of[*networking.Gateway](m, model.KindGateway), func(gw object[*networking.Gateway]) bool {
				return gw.Namespace+"/"+gw.Name == name
			})
		}
	}
	return false
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
	for _, gw := range of[*networking.Gateway](m, model.KindGateway) {
		reached, known := map[uint32]bool{}, false
		for _, w := range m.selected("", gw.spec.GetSelector()) {
			for _, svc := range of[*corev1.Service](m, model.KindService) {
				if svc.Namespace != w.object.Namespace || !model.Selects(svc.spec.Spec.Selector, w.meta.Labels) {
					continue
				}
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

// conflictingGateways finds Gateways of one workload that want the same port for one host twice, or for
// protocols that exclude each other.
func conflictingGateways(m *mesh) {
	m.neighbours(m.conflict)
}

// neighbours visits each two servers of Gateways of one workload; path is that of the later one.
func (m *mesh) neighbours(visit func(a, b object[*networking.Gateway], other, server *networking.Server, path string)) {
	all := of[*networking.Gateway](m, model.KindGateway)
	for i, b := range all {
		for _, a := range all[:i] {
			if !m.sameWorkload(a.spec.GetSelector(), b.spec.GetSelector()) {
				continue
			}
			for k, server := range b.spec.GetServers() {
				for _, other := range a.spec.GetServers() {
					visit(a, b, other, server, fmt.Sprintf("spec.servers[%d]", k))
				}
			}
		}
	}
}

// sameWorkload tells whether two selectors select a workload in common, or, where they select none, the
// same labels.
func (m *mesh) sameWorkload(a, b map[string]string) bool {
	if maps.Equal(a, b) {
		return true
	}
	return slices.ContainsFunc(m.selected("", a), func(w *workload) bool { return model.HasLabels(w.meta.Labels, b) })
}

func (m *mesh) conflict(a, b object[*networking.Gateway], first, second *networking.Server, field string) {
	port := second.GetPort()
	if first.GetPort().GetNumber() != port.GetNumber() || model.CanonicalIP(first.GetBind()) != model.CanonicalIP(second.GetBind()) {
		return
	}
	if x, y := clearText(first), clearText(second); x != y {
		m.reportPair(b.Object, a.Object, field+".port", conflictingGateway, Error, "wants port %d of the same workload for protocol %s, this one for %s; a port is either encrypted or not, use another one",
			port.GetNumber(), first.GetPort().GetProtocol(), port.GetProtocol())
		return
	}
	for i, host := range second.GetHosts() {
		for _, other := range first.GetHosts() {
			nsA, x := m.serverHost(a.Namespace, other)
			nsB, y := m.serverHost(b.Namespace, host)
			if x == y && (nsA == nsB || nsA == "*" || nsB == "*") {
				m.reportPair(b.Object, a.Object, fmt.Sprintf("%s.hosts[%d]", field, i), conflictingGateway, Error,
					"serves host %q on port %d of the same workload as well; keep it in one Gateway", host, port.GetNumber())
			}
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
