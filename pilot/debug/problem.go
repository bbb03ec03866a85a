package debug

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Problem is a problem as /debug/problems has it, in JSON.
type Problem struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Field     string `json:"field,omitempty"`
	Severity  string `json:"severity"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	AsOf      int64  `json:"asOf,omitempty"` // as model.Origin has it
	For       *Scope `json:"for,omitempty"`  // nil for all whom the object is for
}

// Scope is for whom a problem holds: sidecars of namespaces, and workloads of gateways as NAME.NAMESPACE.
type Scope struct {
	Sidecars []string `json:"sidecars,omitempty"`
	Gateways []string `json:"gateways,omitempty"`
}

// ProblemOf gives a problem as the page has it.
func ProblemOf(p model.Problem) Problem {
	out := Problem{
		Kind: string(p.Object.Kind), Namespace: p.Object.Namespace, Name: p.Object.Name, Field: p.Field,
		Severity: string(p.Severity), Reason: string(p.Reason), Message: p.Message,
		File: p.Origin.File, Line: p.Origin.Line, AsOf: p.Origin.AsOf,
	}
	if p.Scope != (model.Scope{}) {
		out.For = &Scope{}
		out.For.Sidecars, out.For.Gateways = p.Scope.Names()
	}
	return out
}

// Model gives the problem that the page was made of.
func (p Problem) Model() model.Problem {
	out := model.Problem{
		Object: model.Key{Kind: model.Kind(p.Kind), Namespace: p.Namespace, Name: p.Name}, Field: p.Field,
		Severity: model.Severity(p.Severity), Reason: model.Reason(p.Reason), Message: p.Message,
		Origin: model.Origin{File: p.File, Line: p.Line, AsOf: p.AsOf},
	}
	if p.For != nil {
		out.Scope = model.NewScope(p.For.Sidecars, p.For.Gateways)
	}
	return out
}

// ReadProblems reads /debug/problems.
func ReadProblems(page []byte) ([]model.Problem, error) {
	var all []Problem
	if err := json.Unmarshal(page, &all); err != nil {
		return nil, fmt.Errorf("it is no list of problems: %w", err)
	}
	out := make([]model.Problem, len(all))
	for i, p := range all {
		out[i] = p.Model()
	}
	return out, nil
}

func (s *Server) problems(w http.ResponseWriter, _ *http.Request) {
	out := []Problem{}
	for _, p := range s.opts.Problems() {
		out = append(out, ProblemOf(p))
	}
	writeJSON(w, out)
}
