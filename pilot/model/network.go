package model

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"
)

// MeshNetworksMapKey is where the ConfigMap of the mesh has its networks, beside MeshConfigMapKey. The object that
// holds them has the name of the mesh's own.
const MeshNetworksMapKey = "meshNetworks"

// LabelNetwork names the network of a workload, and of all where the root namespace has it. A Service that has it is a
// gateway into that network.
const LabelNetwork = "topology.istio.io/network"

// LabelGatewayPort of such a Service is the port that takes what comes from other networks.
const LabelGatewayPort = "networking.istio.io/gatewayPort"

// DefaultGatewayPort is that port where nothing else is said.
const DefaultGatewayPort = 15443

// ParseMeshNetworks reads the YAML text of a mesh's networks. An unknown field is an error that names it.
func ParseMeshNetworks(text []byte) (*meshconfig.MeshNetworks, error) {
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("mesh networks: %w", err)
	}
	out := &meshconfig.MeshNetworks{}
	if string(data) == "null" {
		return out, nil
	}
	if err := protojson.Unmarshal(data, out); err != nil {
		return nil, fmt.Errorf("mesh networks: %s", ProtoJSONError(err))
	}
	return out, nil
}

// KindResolvedName is the name of a gateway between networks whose addresses the control plane has asked the DNS for.
// It is in no namespace.
const KindResolvedName Kind = "ResolvedName"

// ResolvedName is the content of a KindResolvedName object.
type ResolvedName struct {
	Addresses []string // sorted
}

// ResolvedNameKey gives the key of a name.
func ResolvedNameKey(name string) Key { return Key{Kind: KindResolvedName, Name: CanonicalHost(name)} }

// NetworkGateway is an address at which a network takes mutual TLS for its workloads, by the name in the handshake.
type NetworkGateway struct {
	Network string
	Cluster string // that it runs in; "" where that is unknown
	Address string
	Port    uint32
}

// NetworkGateways are those of a mesh, in order.
type NetworkGateways []NetworkGateway

// CompareGateways orders gateways by where they are reached.
func CompareGateways(a, b NetworkGateway) int {
	return cmp.Or(strings.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port),
		strings.Compare(a.Network, b.Network), strings.Compare(a.Cluster, b.Cluster))
}

// Into gives the gateways into a network: those in the cluster of the workload that is meant, if there are any.
func (g NetworkGateways) Into(network, cluster string) NetworkGateways {
	var near, all NetworkGateways
	for _, gateway := range g {
		if gateway.Network != network {
			continue
		}
		all = append(all, gateway)
		if gateway.Cluster == cluster {
			near = append(near, gateway)
		}
	}
	if len(near) > 0 {
		return near
	}
	return all
}

// maxGatewayScale keeps weights within their 32 bits.
const maxGatewayScale = 1 << 16

// Scale gives a number that each number of gateways that Into may give divides, so that the weight of an endpoint
// that is multiplied by it is shared among them without a rest.
func (g NetworkGateways) Scale() uint32 {
	type place struct {
		network, cluster string
		whole            bool // of the network, whatever the cluster
	}
	count := map[place]uint64{}
	for _, gateway := range g {
		count[place{gateway.Network, gateway.Cluster, false}]++
		count[place{network: gateway.Network, whole: true}]++
	}
	var numbers []uint64
	for _, n := range count {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	scale := uint64(1)
	for _, n := range numbers {
		if next := scale / gcd(scale, n) * n; next <= maxGatewayScale {
			scale = next
		}
	}
	return uint32(scale)
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
