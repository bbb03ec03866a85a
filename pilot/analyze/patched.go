package analyze

import (
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// Patches gives the patches of EnvoyFilters that a resource of a proxy went through, or one part of it where part is not
// nil, in the order in which they apply.
func (t *Translation) Patches(p Proxy, whole, part proto.Message) []Place {
	typ, ok := resource.ByURL("type.googleapis.com/" + string(whole.ProtoReflect().Descriptor().FullName()))
	named, has := whole.(interface{ GetName() string })
	if t.patched == nil || !ok || !has {
		return nil
	}
	seat := t.patched.Seat(p.of)
	defer t.patched.Leave(seat)
	r := t.patched.Result(&seat.Class).Sets[typ].Get(named.GetName())
	if r == nil { // as routes that stand in a listener, whose patches are the listener's
		return nil
	}
	var out []Place
	for _, by := range t.patched.Patching(&seat.Class, r, part) {
		at := Place{Object: by.Object, Field: by.Field}
		t.mesh.stand(&at)
		out = append(out, at)
	}
	return out
}
