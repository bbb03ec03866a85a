package resolve

import (
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// HashPolicies gives what routes to a subset of a service ("" for all of it) hash requests by,
// as its DestinationRule asks; empty without consistent hashing.
func HashPolicies(r Reader, c *Class, svc *model.Service, port *model.ServicePort, subset string) []ir.HashPolicy {
	return nil
}

// TCPPolicy gives the part of a subset's connection pool settings that a TCP proxy filter needs.
func TCPPolicy(r Reader, c *Class, svc *model.Service, port *model.ServicePort, subset string) ir.TCPPolicy {
	return ir.TCPPolicy{}
}
