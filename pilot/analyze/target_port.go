package analyze

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// targetsWithoutPort finds ports of Services that lead to a name which no container of the Service's pods has. A
// WorkloadEntry may have it.
func targetsWithoutPort(m *mesh) {
	for _, svc := range of[*corev1.Service](m, model.KindService) {
		if len(svc.spec.Spec.Selector) == 0 {
			continue
		}
		pods := m.selected(svc.Namespace, svc.spec.Spec.Selector)
		for i, port := range svc.spec.Spec.Ports {
			name := port.TargetPort.StrVal
			if name == "" || len(pods) == 0 || m.anyServer(svc, port) {
				continue
			}
			var names []string // that there are
			for _, w := range pods {
				names = append(names, portsNamed(w, port.Protocol)...)
			}
			if slices.Contains(names, name) {
				continue
			}
			has := "they have none with a name"
			if slices.Sort(names); len(names) > 0 {
				has = "they have " + strings.Join(slices.Compact(names), ", ")
			}
			m.report(svc.Object, fmt.Sprintf("spec.ports[%d].targetPort", i), "", Warning,
				"no container of its pods has a port named %q, so nothing answers on port %d; correct it (%s), or name the container's port so", name, port.Port, has)
		}
	}
}

// anyServer tells whether a port of a Service leads somewhere.
func (m *mesh) anyServer(svc object[*corev1.Service], port corev1.ServicePort) bool {
	for _, known := range m.hosts[model.ResolveHost(svc.Name, svc.Namespace, m.domain)] {
		if slices.ContainsFunc(m.snapshot.Endpoints(known.ID()), func(e model.Endpoint) bool { return e.ServicePort == port.Name }) {
			return true
		}
	}
	return false
}

// portsNamed gives the names of the ports of a workload's containers.
func portsNamed(w *workload, protocol corev1.Protocol) []string {
	var out []string
	for _, p := range model.NewPod(&corev1.Pod{ObjectMeta: w.meta, Spec: w.spec}).Ports {
		if p.Name != "" && p.UDP == (protocol == corev1.ProtocolUDP) {
			out = append(out, p.Name)
		}
	}
	return out
}
