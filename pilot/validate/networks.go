package validate

import (
	"maps"
	"slices"
	"strconv"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// networks checks the networks of a mesh.
func (c *checker) networks(m *meshconfig.MeshNetworks) {
	claimed := map[string]string{} // networks by what belongs to them
	for _, name := range slices.Sorted(maps.Keys(m.GetNetworks())) {
		field, network := entry("networks", name), m.GetNetworks()[name]
		if name == "true" || name == "false" {
			c.warn(field, "is how YAML reads the names y, yes and on, or n, no and off, in Istio as well; write such a name in quotes")
		}
		for i, e := range network.GetEndpoints() {
			c.networkEndpoints(at(field+".endpoints", i), name, e, claimed)
		}
		for i, g := range network.GetGateways() {
			c.networkGateway(at(field+".gateways", i), g, network)
		}
	}
}

func (c *checker) networkEndpoints(field, network string, e *meshconfig.Network_NetworkEndpoints, claimed map[string]string) {
	what := e.GetFromRegistry()
	switch e.GetNe().(type) {
	case *meshconfig.Network_NetworkEndpoints_FromCidr:
		field += ".fromCidr"
		subnet, err := model.ParseSubnet(e.GetFromCidr())
		if err != nil {
			c.fail(field, "%q is no subnet such as 10.0.0.0/8", e.GetFromCidr())
			return
		}
		what = subnet.String()
	case *meshconfig.Network_NetworkEndpoints_FromRegistry:
		field += ".fromRegistry"
		if what == "" {
			c.missing(field)
			return
		}
	default:
		c.fail(field, "says nothing; set fromCidr or fromRegistry")
		return
	}
	if other, taken := claimed[what]; taken && other != network {
		c.warn(field, "%s belongs to network %s already, which has it", what, other)
		return
	}
	claimed[what] = network
}

func (c *checker) networkGateway(field string, g *meshconfig.Network_IstioNetworkGateway, network *meshconfig.Network) {
	if g.GetPort() == 0 {
		c.missing(field + ".port")
	}
	switch g.GetGw().(type) {
	case *meshconfig.Network_IstioNetworkGateway_Address:
		kind := model.KindOfAddress(g.GetAddress())
		if kind != model.AddressIP && (kind != model.AddressName || !isHost(g.GetAddress()) || numeric(g.GetAddress())) {
			c.fail(field+".address", "%q is neither an IP address nor a hostname", g.GetAddress())
		}
	case *meshconfig.Network_IstioNetworkGateway_RegistryServiceName:
		field += ".registryServiceName"
		if !isHost(g.GetRegistryServiceName()) {
			c.fail(field, "%q is no hostname of a Service", g.GetRegistryServiceName())
		}
		ofCluster := func(e *meshconfig.Network_NetworkEndpoints) bool { return e.GetFromRegistry() != "" }
		if !slices.ContainsFunc(network.GetEndpoints(), ofCluster) {
			c.warn(field, "has no effect where no endpoints have fromRegistry, the cluster that the Service is looked for in")
		}
	default:
		c.fail(field, "has no address; set address or registryServiceName")
	}
}

// networkService says why a Service with the label of a network is no gateway into it, or not where it says.
func (c *checker) networkService(svc *corev1.Service) {
	network := c.object.Labels[model.LabelNetwork]
	if network == "" {
		return
	}
	if text, said := c.object.Labels[model.LabelGatewayPort]; said {
		if port, err := strconv.ParseInt(text, 10, 64); err != nil || !isPort(port) {
			c.warn("metadata.labels["+model.LabelGatewayPort+"]", "%q is no port, so the gateway is used at %d; use 1 to 65535", text, model.DefaultGatewayPort)
		}
	}
	if len(svc.Spec.ExternalIPs) == 0 && len(svc.Status.LoadBalancer.Ingress) == 0 && svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		c.warn("metadata.labels["+model.LabelNetwork+"]", "the Service has no address outside the cluster, so it is no gateway into network %s; give it externalIPs or the type LoadBalancer", network)
	}
}
