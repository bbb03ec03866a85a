package build

import (
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	bootstrappb "github.com/pilothouse-mesh/pilothouse/proto/bootstrap"
)

// bootstrap gives what EnvoyFilters put over the bootstrap of a class's Envoys, which their agents ask for. There is
// no resource where they put in nothing.
func (e *encoder) bootstrap(changes changes) Output {
	out := Output{Type: resource.BootstrapPatches}
	set := changes.set(model.PatchBootstrap)
	if len(set) == 0 {
		return out
	}
	if !changes.class.AsksForBootstrap {
		out.Problems = set.Unasked()
	}
	all, problems := set.Bootstrap()
	out.Problems = append(out.Problems, problems...)
	m := &bootstrappb.Patches{}
	for _, p := range all {
		m.Patches = append(m.Patches, &bootstrappb.Patch{Name: p.Name, Json: p.JSON})
	}
	if len(all) > 0 {
		out.addMessage(e, resource.BootstrapPatchesName, m)
	}
	return out
}

// bootstrapMadeOf gives the patches of a class's bootstrap, or the one that a part is.
func bootstrapMadeOf(changes changes, part proto.Message) []model.MadeOf {
	all, _ := changes.set(model.PatchBootstrap).Bootstrap()
	var out []model.MadeOf
	for _, p := range all {
		if one, ok := part.(*bootstrappb.Patch); part == nil || ok && one.GetName() == p.Name {
			out = append(out, p.From)
		}
	}
	return out
}
