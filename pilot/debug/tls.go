package debug

import (
	"net/http"
	"strings"
)

// tls compares what services ask of their clients with what the sidecar of the pod proxyID does, for the host, or
// all of them. With bare=true the pod has no sidecar, which who asks knows of it.
func (s *Server) tls(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.snapshot(w); !ok {
		return
	}
	pod, namespace, ok := strings.Cut(r.URL.Query().Get("proxyID"), ".")
	if !ok || s.opts.TLSChecks == nil {
		http.Error(w, "proxyID=POD.NAMESPACE is missing", http.StatusBadRequest)
		return
	}
	writeJSON(w, s.opts.TLSChecks(namespace, pod, r.URL.Query().Get("host"), r.URL.Query().Get("bare") == "true"))
}
