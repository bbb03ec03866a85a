package debug

import (
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"
)

// snapshot gives the present snapshot, or answers that there is none.
func (s *Server) snapshot(w http.ResponseWriter) (Snapshot, bool) {
	snap := s.opts.Snapshot()
	if snap == nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "not ready: the first configuration is not committed yet", http.StatusServiceUnavailable)
		return nil, false
	}
	return snap, true
}

// clusters lists this cluster, which is the only one that is served, for `istioctl remote-clusters`.
func (s *Server) clusters(w http.ResponseWriter, _ *http.Request) {
	type served struct {
		ID         string `json:"id"`
		SecretName string `json:"secretName"` // of a remote cluster
		SyncStatus string `json:"syncStatus"`
	}
	status := "synced"
	if s.opts.Snapshot() == nil {
		status = "syncing"
	}
	writeJSON(w, []served{{ID: s.opts.ClusterID, SyncStatus: status}})
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
