package analyze

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// gatewayRefs gives the gateways that a VirtualService names, by field, in order.
func gatewayRefs(vs *networking.VirtualService) (fields []string, names map[string]string) {
	names = map[string]string{}
	add := func(field string, list []string) {
		for i, name := range list {
			at := fmt.Sprintf("%s[%d]", field, i)
			fields = append(fields, at)
			names[at] = name
		}
	}
	add("spec.gateways", vs.GetGateways())
	for i, rule := range vs.GetHttp() {
		for j, match := range rule.GetMatch() {
			add(fmt.Sprintf("spec.http[%d].match[%d].gateways", i, j), match.GetGateways())
		}
	}
	for i, rule := range vs.GetTcp() {
		for j, match := range rule.GetMatch() {
			add(fmt.Sprintf("spec.tcp[%d].match[%d].gateways", i, j), match.GetGateways())
		}
	}
	for i, rule := range vs.GetTls() {
		for j, match := range rule.GetMatch() {
			add(fmt.Sprintf("spec.tls[%d].match[%d].gateways", i, j), match.GetGateways())
		}
	}
	return fields, names
}

func (m *mesh) gateway(name string) *object[*networking.Gateway] {
	for _, gw := range of[*networking.Gateway](m, model.KindGateway) {
		if gw.Namespace+"/"+gw.Name == name {
			return &gw
		}
	}
	return nil
}

// missingGateways finds VirtualServices that name a Gateway which does not exist.
func missingGateways(m *mesh) {
	for _, vs := range of[*networking.VirtualService](m, model.KindVirtualService) {
		fields, names := gatewayRefs(vs.spec)
		for _, field := range fields {
			if name := model.GatewayName(names[field], vs.Namespace); name != model.MeshGateway && m.gateway(name) == nil {
				m.report(vs.Object, field, notFound, Error, "there is no Gateway %q; create it, or correct the name (NAMESPACE/NAME where it is in another namespace)", names[field])
			}
		}
	}
}

// hostsOutsideGateways finds VirtualServices with hosts that a Gateway of theirs does not offer.
func hostsOutsideGateways(m *mesh) {
	for _, vs := range of[*networking.VirtualService](m, model.KindVirtualService) {
		for _, ref := range vs.spec.GetGateways() {
			gw := m.gateway(model.GatewayName(ref, vs.Namespace))
			if ref == model.MeshGateway || gw == nil {
				continue
			}
			for i, host := range vs.spec.GetHosts() {
				if !m.offers(gw, vs.Namespace, model.ResolveHost(host, vs.Namespace, m.domain)) {
					m.report(vs.Object, fmt.Sprintf("spec.hosts[%d]", i), notInGateway, Warning,
						"%q is not among the hosts that %s offers to namespace %s; add it to a server there", host, gw.Key, vs.Namespace)
				}
			}
		}
	}
}

// offers tells whether a Gateway has a server that shares something with a host of a namespace.
func (m *mesh) offers(gw *object[*networking.Gateway], namespace, host string) bool {
	for _, s := range gw.spec.GetServers() {
		for _, own := range s.GetHosts() {
			ns, name := m.serverHost(gw.Namespace, own)
			if (ns == "*" || ns == namespace) && (model.HostCovers(name, host) || model.HostCovers(host, name)) {
				return true
			}
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
		switch {
		case len(m.selected("", gw.spec.GetSelector())) > 0:
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

// gatewayPortsWithoutService finds servers on ports that no Service of the gateway's workload leads to.
func gatewayPortsWithoutService(m *mesh) {
	for _, gw := range of[*networking.Gateway](m, model.KindGateway) {
		targets, known := map[uint32]bool{}, false
		for _, w := range m.selected("", gw.spec.GetSelector()) {
			for _, svc := range of[*corev1.Service](m, model.KindService) {
				if svc.Namespace != w.object.Namespace || !model.Selects(svc.spec.Spec.Selector, w.meta.Labels) {
					continue
				}
				known = true
				for _, port := range svc.spec.Spec.Ports {
					targets[targetPort(port, w)] = true
				}
			}
		}
		for i, s := range gw.spec.GetServers() {
			if known && !targets[s.GetPort().GetNumber()] {
				m.report(gw.Object, fmt.Sprintf("spec.servers[%d].port.number", i), gatewayPort, Warning,
					"no Service of the gateway's workload has the target port %d, so it is not reached by one; add it to the Service", s.GetPort().GetNumber())
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
	all := of[*networking.Gateway](m, model.KindGateway)
	for i, b := range all {
		for _, a := range all[:i] {
			if !m.sameWorkload(a.spec.GetSelector(), b.spec.GetSelector()) {
				continue
			}
			for k, server := range b.spec.GetServers() {
				for _, other := range a.spec.GetServers() {
					m.conflict(a, b, other, server, fmt.Sprintf("spec.servers[%d]", k))
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
	if first.GetPort().GetNumber() != port.GetNumber() || first.GetBind() != second.GetBind() {
		return
	}
	if x, y := clearText(first), clearText(second); x != y {
		m.report(b.Object, field+".port", conflictingGateway, Error, "%s wants port %d of the same workload for protocol %s, this one for %s; a port is either encrypted or not, use another one",
			a.Key, port.GetNumber(), first.GetPort().GetProtocol(), port.GetProtocol())
		return
	}
	for i, host := range second.GetHosts() {
		for _, other := range first.GetHosts() {
			nsA, x := m.serverHost(a.Namespace, other)
			nsB, y := m.serverHost(b.Namespace, host)
			if x == y && (nsA == nsB || nsA == "*" || nsB == "*") {
				m.report(b.Object, fmt.Sprintf("%s.hosts[%d]", field, i), conflictingGateway, Error,
					"%s serves host %q on port %d of the same workload as well; keep it in one Gateway", a.Key, host, port.GetNumber())
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
