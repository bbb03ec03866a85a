package resolve

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// serverName is what the server header says, so that clients see a response of the mesh.
const serverName = "istio-envoy"

// Listeners gives every listener of a class, sorted by name, and the problems found on the way.
func Listeners(r Reader, c *Class) ([]*ir.Listener, []model.Problem) {
	if c.Type == model.RouterProxy {
		return gatewayListeners(r, c)
	}
	scope := Scope(r, c)
	plan, problems := outboundPlan(r, c, scope)
	b := &outboundBuilder{r: r, c: c, scope: scope, rules: indexVirtualServices(r, c, scope)}
	out := []*ir.Listener{virtualOutbound(r, c, scope)}
	for _, o := range plan {
		out = append(out, b.listener(o))
	}
	inbound, conflicts := virtualInbound(r, c)
	out = append(out, inbound)
	slices.SortFunc(out, byListenerName)
	problems = slices.Concat(problems, b.problems, conflicts, meshProblems(r))
	return out, sortProblems(problems)
}
