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
}

// ProblemOf gives a problem as the page has it.
func ProblemOf(p model.Problem) Problem {
	return Problem{
		Kind: string(p.Object.Kind), Namespace: p.Object.Namespace, Name: p.Object.Name, Field: p.Field,
		Severity: string(p.Severity), Reason: string(p.Reason), Message: p.Message,
		File: p.Origin.File, Line: p.Origin.Line, AsOf: p.Origin.AsOf,
	}
}

// Model gives the problem that the page was made of.
func (p Problem) Model() model.Problem {
	return model.Problem{
		Object: model.Key{Kind: model.Kind(p.Kind), Namespace: p.Namespace, Name: p.Name}, Field: p.Field,
		Severity: model.Severity(p.Severity), Reason: model.Reason(p.Reason), Message: p.Message,
		Origin: model.Origin{File: p.File, Line: p.Line, AsOf: p.AsOf},
	}
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
