package analyze

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// ruleServices gives the services that a DestinationRule is for.
func (m *mesh) ruleServices(dr object[*networking.DestinationRule]) []*model.Service {
	pattern := model.ResolveHost(dr.spec.GetHost(), dr.Namespace, m.domain)
	if !strings.HasPrefix(pattern, "*") {
		return m.hosts[pattern]
	}
	return slices.DeleteFunc(slices.Clone(m.services), func(s *model.Service) bool {
		return !model.HostCovers(pattern, model.CanonicalHost(s.Hostname))
	})
}

// settingsWithoutPort finds settings of a port that none of the rule's services has.
func settingsWithoutPort(m *mesh) {
	for _, dr := range of[*networking.DestinationRule](m, model.KindDestinationRule) {
		services := m.ruleServices(dr)
		check := func(path string, policy *networking.TrafficPolicy) {
			for i, settings := range policy.GetPortLevelSettings() {
				port := settings.GetPort().GetNumber()
				if len(services) > 0 && !anyPort(services, port) {
					m.report(dr.Object, fmt.Sprintf("%s.portLevelSettings[%d].port", path, i), "", Warning,
						"no service of host %s has port %d, so the settings have no effect; use a port of the Service", dr.spec.GetHost(), port)
				}
			}
		}
		check("spec.trafficPolicy", dr.spec.GetTrafficPolicy())
		for i, subset := range dr.spec.GetSubsets() {
			check(fmt.Sprintf("spec.subsets[%d].trafficPolicy", i), subset.GetTrafficPolicy())
		}
	}
}

func anyPort(services []*model.Service, port uint32) bool {
	return slices.ContainsFunc(services, func(s *model.Service) bool { return s.PortByNumber(port) != nil })
}

// unknownDestinationRuleHosts finds rules for hosts that no service has.
func unknownDestinationRuleHosts(m *mesh) {
	for _, dr := range of[*networking.DestinationRule](m, model.KindDestinationRule) {
		if len(m.ruleServices(dr)) == 0 {
			m.report(dr.Object, "spec.host", notFound, Warning, "no service has the host %q (%s), so the rule has no effect; create it, or correct the name",
				dr.spec.GetHost(), model.ResolveHost(dr.spec.GetHost(), dr.Namespace, m.domain))
		}
	}
}

// emptySubsets finds subsets of which nothing of the service is. Of several definitions the one that counts is looked at.
func emptySubsets(m *mesh) {
	counts := m.countingSubsets()
	for _, dr := range of[*networking.DestinationRule](m, model.KindDestinationRule) {
		services := m.ruleServices(dr)
		if len(services) == 0 {
			continue
		}
		kind, remedy := "pod", "deploy such pods"
		if services[0].Key.Kind == model.KindServiceEntry {
			kind, remedy = "endpoint", "add such an endpoint"
		}
		for i, subset := range dr.spec.GetSubsets() {
			if len(subset.GetLabels()) == 0 || counts[m.subsetOf(dr, subset)] != dr.Object || m.anyEndpoint(services, subset.GetLabels()) {
				continue
			}
			m.report(dr.Object, fmt.Sprintf("spec.subsets[%d].labels", i), noWorkloads, Warning,
				"no %s of %s has the labels %s, so requests to subset %q get a 503; correct the labels, or %s", kind, services[0].Hostname, model.LabelSet(subset.GetLabels()), subset.GetName(), remedy)
		}
	}
}

// joinedSubset is a subset that DestinationRules which count together may define several times.
type joinedSubset struct{ namespace, host, exportTo, selector, name string }

func (m *mesh) subsetOf(dr object[*networking.DestinationRule], subset *networking.Subset) joinedSubset {
	exportTo := slices.Sorted(slices.Values(dr.spec.GetExportTo()))
	return joinedSubset{
		dr.Namespace, model.ResolveHost(dr.spec.GetHost(), dr.Namespace, m.domain), strings.Join(exportTo, ","),
		model.LabelSet(dr.spec.GetWorkloadSelector().GetMatchLabels()), subset.GetName(),
	}
}

// countingSubsets gives the DestinationRule whose definition of a subset counts.
func (m *mesh) countingSubsets() map[joinedSubset]*model.Object {
	out := map[joinedSubset]*model.Object{}
	for _, dr := range of[*networking.DestinationRule](m, model.KindDestinationRule) {
		for _, subset := range dr.spec.GetSubsets() {
			at := m.subsetOf(dr, subset)
			if first := out[at]; first == nil || model.Older(dr.Object, first) < 0 {
				out[at] = dr.Object
			}
		}
	}
	return out
}

// anyEndpoint tells whether an endpoint of the services has the labels. A service without a selector
// gets its endpoints from elsewhere.
func (m *mesh) anyEndpoint(services []*model.Service, labels map[string]string) bool {
	for _, svc := range services {
		endpoints := m.snapshot.Endpoints(svc.ID())
		if len(svc.Selector) == 0 && len(endpoints) == 0 {
			return true
		}
		if slices.ContainsFunc(endpoints, func(e model.Endpoint) bool { return model.HasLabels(e.Labels, labels) }) {
			return true
		}
	}
	return false
}

// portNames finds ports of Services of which the name does not tell the protocol.
func portNames(m *mesh) {
	for _, svc := range of[*corev1.Service](m, model.KindService) {
		parsed := m.hosts[model.ResolveHost(svc.Name, svc.Namespace, m.domain)]
		if len(parsed) == 0 || svc.Namespace == "kube-system" || svc.Name == "kubernetes" || ofControlPlane(svc.Object) {
			continue
		}
		for i, port := range svc.spec.Spec.Ports {
			known := parsed[0].PortByNumber(uint32(port.Port))
			if port.Protocol == corev1.ProtocolUDP || port.AppProtocol != nil || known == nil || known.Protocol != model.ProtocolAuto {
				continue
			}
			m.report(svc.Object, fmt.Sprintf("spec.ports[%d].name", i), portNaming, Info,
				"the name %q of port %d does not tell the protocol, so proxies find it out by looking at the first bytes; name it PROTOCOL or PROTOCOL-NAME, as http-web, or set appProtocol", port.Name, port.Port)
		}
	}
}

// ofControlPlane tells whether a Service is of the mesh itself, its gateways among it, as Istio's tool knows them.
func ofControlPlane(svc *model.Object) bool {
	_, named := svc.Labels["istio"]
	return named || svc.Labels["release"] == "istio"
}

// servicesWithoutWorkload finds Services whose selector no workload of the files has.
func servicesWithoutWorkload(m *mesh) {
	if len(m.workloads) == 0 {
		return // they are elsewhere
	}
	for _, svc := range of[*corev1.Service](m, model.KindService) {
		if len(svc.spec.Spec.Selector) > 0 && len(m.selected(svc.Namespace, svc.spec.Spec.Selector)) == 0 {
			m.report(svc.Object, "spec.selector", noWorkloads, Warning, "no workload of namespace %s has the labels %s; correct them, or deploy such pods", svc.Namespace, model.LabelSet(svc.spec.Spec.Selector))
		}
	}
}

// servicesOfWorkloads gives the Services that select each workload.
func (m *mesh) servicesOfWorkloads() map[*workload][]object[*corev1.Service] {
	out := map[*workload][]object[*corev1.Service]{}
	for _, svc := range of[*corev1.Service](m, model.KindService) {
		if len(svc.spec.Spec.Selector) == 0 {
			continue
		}
		for _, w := range m.selected(svc.Namespace, svc.spec.Spec.Selector) {
			out[w] = append(out[w], svc)
		}
	}
	return out
}

// workloadsOfSeveralServices finds workloads whose Services want the same container port under other
// numbers, of which proxies take the first.
func workloadsOfSeveralServices(m *mesh) {
	services := m.servicesOfWorkloads()
	for _, w := range m.workloads {
		numbers := map[uint32]int32{}
		names := map[uint32]string{}
		for _, svc := range services[w] {
			for i, port := range svc.spec.Spec.Ports {
				target := targetPort(port, w)
				if other, ok := numbers[target]; ok && other != port.Port && names[target] != svc.Name {
					m.report(svc.Object, fmt.Sprintf("spec.ports[%d]", i), conflictingPorts, Warning,
						"Service %s leads to port %d of %s as well, by port %d in the place of %d; give both the same port", names[target], target, w, other, port.Port)
				} else if !ok {
					numbers[target], names[target] = port.Port, svc.Name
				}
			}
		}
	}
}
