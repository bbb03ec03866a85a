package resolve

import (
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Listeners gives every listener of a class, sorted by name, and the problems found on the way.
func Listeners(r Reader, c *Class) ([]*ir.Listener, []model.Problem) {
	return nil, nil
}
