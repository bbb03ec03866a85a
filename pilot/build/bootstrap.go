package build

import (
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
	text, problems := set.Bootstrap()
	out.Problems = append(out.Problems, problems...)
	if text != "" {
		out.addMessage(e, resource.BootstrapPatchesName, &bootstrappb.Patches{Json: text})
	}
	return out
}
