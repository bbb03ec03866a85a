package resolve

import (
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Clusters gives every cluster of a class, sorted by name, and the problems found on the way.
func Clusters(r Reader, c *Class) ([]*ir.Cluster, []model.Problem) {
	return nil, nil
}
