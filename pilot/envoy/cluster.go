package envoy

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// Cluster gives the message of a cluster.
func Cluster(c *ir.Cluster) *clusterv3.Cluster {
	return &clusterv3.Cluster{Name: c.Name}
}
