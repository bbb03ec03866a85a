package analyze

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// Patches tells which patches of EnvoyFilters what one proxy runs went through.
type Patches struct {
	mesh    *mesh
	builder *build.Builder // nil where there is no EnvoyFilter
	seat    *build.Seat
}

// Patches makes what the proxy runs once more, where there are EnvoyFilters. The error is ctx's.
func (t *Translation) Patches(ctx context.Context, p Proxy) (*Patches, error) {
	out := &Patches{mesh: t.mesh}
	if len(t.mesh.ofKind(model.KindEnvoyFilter)) == 0 {
		return out, nil
	}
	b := build.New(build.Options{Settings: t.settings})
	if _, err := b.Advance(ctx, store.Commit{Snapshot: t.mesh.snapshot, Full: true}); err != nil {
		return nil, err
	}
	out.builder, out.seat = b, b.Seat(p.of)
	b.Result(&out.seat.Class)
	return out, nil
}

// Of gives the patches of a resource, or of one part of it where part is not nil, in the order in which they apply.
func (p *Patches) Of(whole, part proto.Message) []Place {
	if p.builder == nil {
		return nil
	}
	typ, ok := resource.ByURL("type.googleapis.com/" + string(whole.ProtoReflect().Descriptor().FullName()))
	named, has := whole.(interface{ GetName() string })
	if !ok || !has {
		return nil
	}
	r := p.builder.Result(&p.seat.Class).Sets[typ].Get(named.GetName())
	if r == nil { // as routes that stand in a listener, whose patches are the listener's
		return nil
	}
	var out []Place
	for _, by := range p.builder.Patching(&p.seat.Class, r, part) {
		at := Place{Object: by.Object, Field: by.Field}
		p.mesh.stand(&at)
		out = append(out, at)
	}
	return out
}
