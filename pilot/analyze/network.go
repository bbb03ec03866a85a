package analyze

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// networkGateways finds gateways of the mesh's networks that name a Service which is none, and those that are known by a
// name only, which nobody looks up here.
func networkGateways(m *mesh) {
	for _, o := range of[*corev1.Service](m, model.KindService) {
		if o.Labels[model.LabelNetwork] != "" {
			m.gatewayNames(o.Object, "status.loadBalancer.ingress", o.spec)
		}
	}
	for _, o := range of[*meshconfig.MeshNetworks](m, model.KindMeshNetworks) {
		for _, name := range slices.Sorted(maps.Keys(o.spec.GetNetworks())) {
			network := o.spec.GetNetworks()[name]
			for i, g := range network.GetGateways() {
				m.notLookedUp(o.Object, fmt.Sprintf("networks[%s].gateways[%d].address", name, i), g.GetAddress())
			}
			level := Error
			if elsewhere(network, m.cluster) {
				level = Info // that cluster may have it
			}
			for i, g := range network.GetGateways() {
				if host := g.GetRegistryServiceName(); host != "" {
					m.namedGateway(o.Object, fmt.Sprintf("networks[%s].gateways[%d].registryServiceName", name, i), host, level)
				}
			}
		}
	}
}

// elsewhere tells whether a network is of other clusters alone.
func elsewhere(n *meshconfig.Network, cluster string) bool {
	other := false
	for _, e := range n.GetEndpoints() {
		if e.GetFromRegistry() == cluster {
			return false
		}
		other = other || e.GetFromRegistry() != ""
	}
	return other
}

// namedGateway says why a Service is no gateway into a network. level is how bad it is that there is none.
func (m *mesh) namedGateway(o *model.Object, field, host string, level Level) {
	place, ofCluster := strings.CutSuffix(host, ".svc."+m.domain)
	name, namespace, _ := strings.Cut(place, ".")
	service := m.object(model.Key{Kind: model.KindService, Namespace: namespace, Name: name})
	if !ofCluster || service == nil {
		m.report(o, field, notFound, level, "there is no Service %q here, so it is no gateway; name one as NAME.NAMESPACE.svc.%s", host, m.domain)
		return
	}
	svc := service.Spec.(*corev1.Service)
	if level != Error { // another cluster has a Service of that name, which counts
		return
	}
	if len(svc.Spec.ExternalIPs) > 0 || service.Labels[model.LabelNetwork] != "" { // its label says more, and is looked at by itself
		return
	}
	at := svc.Status.LoadBalancer.Ingress
	if len(at) == 0 && svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
		return // it waits for its address
	}
	if len(at) == 0 {
		m.report(o, field, "", Warning, "%s has no address outside the cluster, so it is no gateway: nodes are not looked up; give it externalIPs", service.Key)
	}
	m.gatewayNames(o, field, svc)
}

// gatewayNames tells of the names by which a gateway's Service is reached.
func (m *mesh) gatewayNames(o *model.Object, field string, svc *corev1.Service) {
	for _, at := range svc.Status.LoadBalancer.Ingress {
		if at.IP == "" {
			m.notLookedUp(o, field, at.Hostname)
		}
	}
}

// notLookedUp tells of a gateway's address that it is a name whose addresses are not known here.
func (m *mesh) notLookedUp(o *model.Object, field, address string) {
	if slices.Contains(m.unresolved(), model.CanonicalHost(address)) {
		m.report(o, field, "", Info, "the gateway %s is not looked up here, so nothing goes by it; a control plane asks the DNS for its addresses", address)
	}
}

// unresolved gives the names of gateways between networks whose addresses are not among the objects.
func (m *mesh) unresolved() []string {
	return slices.DeleteFunc(slices.Clone(m.snapshot.GatewayNames()), func(name string) bool { return m.object(model.ResolvedNameKey(name)) != nil })
}

// Unresolved gives the names of gateways between networks that are left out of what proxies run: they stand for addresses
// that a control plane asks the DNS for.
func (t *Translation) Unresolved() []string { return t.mesh.unresolved() }

// networksWithoutGateway finds networks that have endpoints and no gateway, where there are others: proxies of those
// connect to the addresses of the endpoints as they are.
func networksWithoutGateway(m *mesh) {
	gateways := m.intoNetworks()
	has := map[string]*model.Service{}
	for _, svc := range m.services {
		for _, e := range m.snapshot.Endpoints(svc.ID()) {
			if has[e.Network] == nil && e.Network != "" {
				has[e.Network] = svc
			}
		}
	}
	all := maps.Clone(gateways)
	for name := range has {
		all[name] = true
	}
	if len(all) < 2 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(has)) {
		if gateways[name] {
			continue
		}
		o, field := m.object(has[name].Key), ""
		for _, networks := range of[*meshconfig.MeshNetworks](m, model.KindMeshNetworks) {
			if networks.spec.GetNetworks()[name] != nil {
				o, field = networks.Object, fmt.Sprintf("networks[%s].gateways", name)
			}
		}
		if o != nil {
			m.report(o, field, "", Warning, "endpoints of %s are in network %s, into which no gateway leads: proxies of other networks connect to their addresses as they are; give the Service of a gateway the label %s: %s",
				has[name].Hostname, name, model.LabelNetwork, name)
		}
	}
}

// intoNetworks gives the networks into which gateways lead, or are to lead once they have addresses.
func (m *mesh) intoNetworks() map[string]bool {
	out := map[string]bool{}
	for _, g := range m.reader.NetworkGateways() {
		out[g.Network] = true
	}
	for _, o := range of[*corev1.Service](m, model.KindService) {
		if network := o.Labels[model.LabelNetwork]; network != "" && o.spec.Spec.Type == corev1.ServiceTypeLoadBalancer {
			out[network] = true
		}
	}
	for _, o := range of[*meshconfig.MeshNetworks](m, model.KindMeshNetworks) {
		for name, network := range o.spec.GetNetworks() {
			if len(network.GetGateways()) > 0 {
				out[name] = true // what is wrong with them is said of them
			}
		}
	}
	return out
}
