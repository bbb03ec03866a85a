package build

import (
	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// networks are those of the mesh, often without gateways of their own.
func (e editor) networks() *model.Object {
	network := func() *meshconfig.Network {
		out := &meshconfig.Network{}
		switch e.IntN(3) {
		case 0:
			out.Endpoints = append(out.Endpoints, &meshconfig.Network_NetworkEndpoints{Ne: &meshconfig.Network_NetworkEndpoints_FromCidr{FromCidr: pick(e, "10.0.0.0/24", "10.0.1.0/24")}})
		case 1:
			out.Endpoints = append(out.Endpoints, &meshconfig.Network_NetworkEndpoints{Ne: &meshconfig.Network_NetworkEndpoints_FromRegistry{FromRegistry: model.DefaultClusterID}})
			out.Gateways = append(out.Gateways, &meshconfig.Network_IstioNetworkGateway{Port: 443, Gw: &meshconfig.Network_IstioNetworkGateway_RegistryServiceName{RegistryServiceName: "web.istio-system.svc.cluster.local"}})
		}
		if e.IntN(3) == 0 {
			out.Gateways = append(out.Gateways, &meshconfig.Network_IstioNetworkGateway{Port: 443, Gw: &meshconfig.Network_IstioNetworkGateway_Address{Address: pick(e, "203.0.113.1", "203.0.113.2", "edge.example.com")}})
		}
		return out
	}
	return storetest.Object(model.KindMeshNetworks, model.RootNamespace, model.MeshConfigName,
		&meshconfig.MeshNetworks{Networks: map[string]*meshconfig.Network{"n1": network(), "n2": network()}})
}

// networkGateway is a Service at an edge of a network, or what the DNS says of the name of one.
func (e editor) networkGateway() *model.Object {
	if e.IntN(3) == 0 {
		return &model.Object{Key: model.ResolvedNameKey("edge.example.com"), Spec: &model.ResolvedName{
			Addresses: pick(e, []string{"203.0.113.5"}, []string{"203.0.113.5", "203.0.113.6"}),
		}}
	}
	o := storetest.Object(model.KindService, "istio-system", pick(e, "east", "west"), &corev1.Service{Spec: corev1.ServiceSpec{
		ClusterIP: "10.97.9.9", ExternalIPs: pick(e, []string{"203.0.113.3"}, []string{"203.0.113.3", "203.0.113.4"}, nil),
		Ports: []corev1.ServicePort{{Name: "tls", Port: 15443}},
	}})
	o.Labels = pick(e, nil, map[string]string{model.LabelNetwork: "n1"}, map[string]string{model.LabelNetwork: "n2", model.LabelGatewayPort: "443"})
	return o
}
