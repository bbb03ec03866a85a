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

// networkGateways finds gateways of the mesh's networks that name a Service which is none.
func networkGateways(m *mesh) {
	for _, o := range of[*meshconfig.MeshNetworks](m, model.KindMeshNetworks) {
		for _, name := range slices.Sorted(maps.Keys(o.spec.GetNetworks())) {
			network := o.spec.GetNetworks()[name]
			if !slices.ContainsFunc(network.GetEndpoints(), func(e *meshconfig.Network_NetworkEndpoints) bool { return e.GetFromRegistry() == m.cluster }) {
				continue // of another cluster
			}
			for i, g := range network.GetGateways() {
				if host := g.GetRegistryServiceName(); host != "" {
					m.namedGateway(o.Object, fmt.Sprintf("networks[%s].gateways[%d].registryServiceName", name, i), host)
				}
			}
		}
	}
}

// namedGateway says why a Service is no gateway into a network.
func (m *mesh) namedGateway(o *model.Object, field, host string) {
	place, ofCluster := strings.CutSuffix(host, ".svc."+m.domain)
	name, namespace, _ := strings.Cut(place, ".")
	service := m.object(model.Key{Kind: model.KindService, Namespace: namespace, Name: name})
	if !ofCluster || service == nil {
		m.report(o, field, notFound, Error, "there is no Service %q, so it is no gateway; name one as NAME.NAMESPACE.svc.%s", host, m.domain)
		return
	}
	svc := service.Spec.(*corev1.Service)
	if len(svc.Spec.ExternalIPs) > 0 || service.Labels[model.LabelNetwork] != "" { // its label says more, and is looked at by itself
		return
	}
	at := svc.Status.LoadBalancer.Ingress
	if len(at) == 0 && svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
		return // it waits for its address
	}
	if !slices.ContainsFunc(at, func(i corev1.LoadBalancerIngress) bool { return i.IP != "" }) {
		m.report(o, field, "", Warning, "%s has no IP address outside the cluster, so it is no gateway: names and nodes are not looked up; give it externalIPs", service.Key)
	}
}

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
