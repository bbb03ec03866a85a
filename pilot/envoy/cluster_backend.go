package envoy

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
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
	host := &ir.Endpoint{Address: b.Address, Port: b.Port}
	if b.Pipe != "" {
		host = &ir.Endpoint{Address: b.Pipe}
	}
	out.LoadAssignment = &endpointv3.ClusterLoadAssignment{
		ClusterName: c.Name,
		Endpoints:   []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{lbEndpoint(host)}}},
	}
}
