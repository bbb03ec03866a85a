package debug

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// RootsPath is where a replica tells what it knows of roots.
const RootsPath = "/debug/pilothouse/roots"

// ReadRoots reads that page.
func ReadRoots(page []byte) (ca.Heard, error) {
	var h ca.Heard
	if err := json.Unmarshal(page, &h); err != nil {
		return h, fmt.Errorf("it tells nothing of roots: %w", err)
	}
	if h.Signer == "" || len(h.Roots) == 0 {
		return h, fmt.Errorf("it tells nothing of roots")
	}
	return h, nil
}

func (s *Server) roots(w http.ResponseWriter, _ *http.Request) {
	h, ok := s.opts.Roots()
	if !ok {
		http.Error(w, "there is no CA yet", http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, h)
}
