package envoy

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// backend names the one host of a cluster that leads to the workload itself.
func backend(c *ir.Cluster, out *clusterv3.Cluster) {
	b := c.Backend
	if b == nil {
		return
	}
	if b.Address == "" && b.Pipe == "" {
		out.LbConfig = &clusterv3.Cluster_OriginalDstLbConfig_{OriginalDstLbConfig: &clusterv3.Cluster_OriginalDstLbConfig{
			UpstreamPortOverride: wrapperspb.UInt32(b.Port),
		}}
		return
	}
	address := socketAddress(b.Address, b.Port)
	if b.Pipe != "" {
		address = &core.Address{Address: &core.Address_Pipe{Pipe: &core.Pipe{Path: b.Pipe}}}
	}
	out.LoadAssignment = &endpointv3.ClusterLoadAssignment{
		ClusterName: c.Name,
		Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}},
		}}}},
	}
}
