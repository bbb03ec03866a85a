package debug

import (
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"
)

// snapshot gives the present snapshot, or answers that there is none.
func (s *Server) snapshot(w http.ResponseWriter) (Snapshot, bool) {
	snap := s.opts.Snapshot()
	if snap == nil {
		http.Error(w, "not ready: the first configuration is not committed yet", http.StatusServiceUnavailable)
		return nil, false
	}
	return snap, true
}

// problem is one in /debug/problems.
type problem struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Field     string `json:"field,omitempty"`
	Severity  string `json:"severity"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
}

func (s *Server) problems(w http.ResponseWriter, _ *http.Request) {
	out := []problem{}
	for _, p := range s.opts.Problems() {
		out = append(out, problem{
			Kind: string(p.Object.Kind), Namespace: p.Object.Namespace, Name: p.Object.Name, Field: p.Field,
			Severity: string(p.Severity), Reason: string(p.Reason), Message: p.Message,
			File: p.Origin.File, Line: p.Origin.Line,
		})
	}
	writeJSON(w, out)
}

func (s *Server) mesh(w http.ResponseWriter, _ *http.Request) {
	snap, ok := s.snapshot(w)
	if !ok {
		return
	}
	b, err := protojson.MarshalOptions{Indent: "  "}.Marshal(snap.Mesh())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}
