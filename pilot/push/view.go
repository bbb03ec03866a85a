package push

import "github.com/pilothouse-mesh/pilothouse/pilot/resource"

// View is what one class of proxies should have at one moment. It is immutable.
type View struct {
	Class string
	sets  [resource.NumTypes]*resource.Set
}

// Set gives the view's resources of a type.
func (v *View) Set(t resource.Type) *resource.Set { return v.sets[t] }
