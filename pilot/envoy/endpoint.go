package envoy

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// transportSocketMatch is the metadata namespace that Envoy compares with a cluster's matches.
const transportSocketMatch = "envoy.transport_socket_match"

// LoadAssignment gives the message of a cluster's hosts.
func LoadAssignment(a *ir.LoadAssignment) *endpointv3.ClusterLoadAssignment {
	out := &endpointv3.ClusterLoadAssignment{ClusterName: a.Cluster}
	for _, l := range a.Localities {
		group := &endpointv3.LocalityLbEndpoints{
			Priority:    l.Priority,
			LbEndpoints: make([]*endpointv3.LbEndpoint, 0, len(l.Endpoints)),
		}
		if l.Weight > 0 {
			group.LoadBalancingWeight = wrapperspb.UInt32(l.Weight)
		}
		if l.Region+l.Zone+l.SubZone != "" {
			group.Locality = &core.Locality{Region: l.Region, Zone: l.Zone, SubZone: l.SubZone}
		}
		for i := range l.Endpoints {
			group.LbEndpoints = append(group.LbEndpoints, lbEndpoint(&l.Endpoints[i]))
		}
		out.Endpoints = append(out.Endpoints, group)
	}
	return out
}

// lbEndpoint leaves out what Envoy assumes: that the host is healthy, and a weight of 1.
func lbEndpoint(e *ir.Endpoint) *endpointv3.LbEndpoint {
	out := &endpointv3.LbEndpoint{
		Metadata:       endpointMetadata(e),
		HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: hostAddress(e)}},
	}
	if e.Unhealthy {
		out.HealthStatus = core.HealthStatus_UNHEALTHY
	}
	if e.Weight > 1 {
		out.LoadBalancingWeight = wrapperspb.UInt32(e.Weight)
	}
	return out
}

func hostAddress(e *ir.Endpoint) *core.Address {
	if e.Port == 0 {
		return &core.Address{Address: &core.Address_Pipe{Pipe: &core.Pipe{Path: e.Address}}}
	}
	return socketAddress(e.Address, e.Port)
}

func endpointMetadata(e *ir.Endpoint) *core.Metadata {
	spaces, own := map[string]*structpb.Struct{}, map[string]*structpb.Value{}
	if e.Workload != "" {
		own["workload"] = structpb.NewStringValue(e.Workload)
	}
	if e.Port == 0 { // telemetry.SocketDetail asks for it
		own["address"] = structpb.NewStringValue("unix")
	}
	if len(own) > 0 {
		spaces[istioMetadata] = &structpb.Struct{Fields: own}
	}
	if e.Plaintext {
		spaces[transportSocketMatch] = plaintextMark()
	}
	if len(spaces) == 0 {
		return nil
	}
	return &core.Metadata{FilterMetadata: spaces}
}
