package envoy

import (
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// LoadAssignment gives the message of a cluster's hosts.
func LoadAssignment(a *ir.LoadAssignment) *endpointv3.ClusterLoadAssignment {
	return &endpointv3.ClusterLoadAssignment{ClusterName: a.Cluster}
}
