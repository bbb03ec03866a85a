// Package endpoint builds the load assignment of a cluster: which endpoints of the service
// belong to it, by locality, health and TLS mode. It is a lane of its own beside resolve,
// since endpoints change far more often than configuration.
package endpoint

import (
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Assignment gives the hosts of an EDS cluster as a class of proxies sees them. It is never
// nil; a cluster whose service is gone has no hosts.
func Assignment(r resolve.Reader, c *resolve.Class, cl *ir.Cluster) *ir.LoadAssignment {
	return &ir.LoadAssignment{Cluster: cl.Name}
}
