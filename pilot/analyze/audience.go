package analyze

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// audiences are the proxies for which the control plane reports each problem.
type audiences struct {
	order    []model.Problem
	sidecars map[model.Problem]map[string]bool // namespaces, by problem
	all      map[string]bool                   // that have sidecars
	gateways map[model.Problem]bool
}

func newAudiences() *audiences {
	return &audiences{sidecars: map[model.Problem]map[string]bool{}, all: map[string]bool{}, gateways: map[model.Problem]bool{}}
}

// of notes what is reported of a proxy.
func (a *audiences) of(p *model.Proxy, problems []model.Problem) {
	router := p.Type == model.RouterProxy
	if !router {
		a.all[p.Namespace] = true
	}
	for _, problem := range problems {
		if a.sidecars[problem] == nil {
			a.sidecars[problem] = map[string]bool{}
			a.order = append(a.order, problem)
		}
		if router {
			a.gateways[problem] = true
		} else {
			a.sidecars[problem][p.Namespace] = true
		}
	}
}

// namespacesNamed is how many namespaces are named that a problem is in.
const namespacesNamed = 3

// problems gives them in the order in which they came up. Of a destination that leads nowhere it is said for whom, where it
// leads somewhere for others: an object may be for some namespaces only, and a Sidecar may leave it out.
func (a *audiences) problems() []model.Problem {
	out := slices.Clone(a.order)
	for i, problem := range a.order {
		namespaces := a.sidecars[problem]
		leads := strings.Contains(problem.Field, ".destination.") || strings.Contains(problem.Field, ".mirror")
		if problem.Reason != model.ReasonReference || !leads || len(namespaces) == 0 || len(namespaces) == len(a.all) || a.gateways[problem] {
			continue
		}
		names := slices.Sorted(maps.Keys(namespaces))
		text := strings.Join(names[:min(len(names), namespacesNamed)], ", ")
		if n := len(names) - namespacesNamed; n > 0 {
			text += fmt.Sprintf(" and %d more", n)
		}
		out[i].Message += "; so it is for the sidecars of namespace " + text
	}
	return out
}
