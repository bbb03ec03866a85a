package resolve

import (
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Routes gives every named route configuration of a class, sorted by name, and the problems
// found on the way.
func Routes(r Reader, c *Class) ([]*ir.RouteConfig, []model.Problem) {
	return nil, nil
}
