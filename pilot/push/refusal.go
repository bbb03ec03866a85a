package push

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// refusal is what is told of something that a proxy refused.
type refusal struct {
	proxy, detail string
	what          string // as users read it
	instead       string // what is served until it is mended
	blamed        []model.MadeOf
}

// blamed gives the patches that concern what was refused: the control plane knows what Envoy takes of all else, and
// a patch may put in what it does not. Where there are none it gives the objects that it came from, or else what was
// refused itself, by its name.
func blamed(name string, message proto.Message, patches []model.MadeOf) []model.MadeOf {
	if len(patches) > 0 {
		return patches
	}
	var from []model.Key
	if message != nil {
		from = resource.Sources(message)
	}
	if len(from) == 0 {
		from = []model.Key{{Kind: model.KindResource, Name: name}}
	}
	var out []model.MadeOf
	for _, k := range from {
		out = append(out, model.MadeOf{Object: k})
	}
	return out
}

// blame is by what refusals are one problem: what is at fault, who refused it and why, and what is served instead.
type blame struct {
	of                     model.MadeOf
	proxy, detail, instead string
}

// refusedNamed is how many refused things of one problem are named.
const refusedNamed = 3

// problemsOf tells of refusals: once of what is to be mended at one place, however many things it is in.
func problemsOf(all []refusal) []model.Problem {
	var order []blame
	what := map[blame][]string{}
	for _, r := range all {
		for _, of := range r.blamed {
			b := blame{of, r.proxy, strings.TrimSpace(r.detail), r.instead}
			if what[b] == nil {
				order = append(order, b)
			}
			if !slices.Contains(what[b], r.what) {
				what[b] = append(what[b], r.what)
			}
		}
	}
	var out []model.Problem
	for _, b := range order {
		out = append(out, model.Problem{
			Object: b.of.Object, Field: b.of.Field, Origin: b.of.Origin, Severity: model.SeverityError, Reason: model.ReasonRejected,
			Message: fmt.Sprintf("proxy %s refused %s until this is mended: %s", b.proxy, outcome(what[b], b.instead), b.detail),
		})
	}
	return out
}

// outcome says what was refused, and what is served instead of each.
func outcome(what []string, instead string) string {
	if len(what) == 1 {
		return what[0] + ", which " + instead
	}
	last := what[len(what)-1]
	if more := len(what) - refusedNamed; more > 0 {
		what, last = what[:refusedNamed+1], fmt.Sprintf("%d more", more)
	}
	return strings.Join(what[:len(what)-1], ", ") + " and " + last + ", each of which " + instead
}
