package debug

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// tls compares what services ask of their clients with what the proxy of the pod proxyID does, for the host, or
// all of them. Who asks knows which the pod has: a sidecar, with proxy=router that of a gateway, with proxy=none none.
func (s *Server) tls(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.snapshot(w); !ok {
		return
	}
	pod, namespace, ok := strings.Cut(r.URL.Query().Get("proxyID"), ".")
	if !ok || s.opts.TLSChecks == nil {
		http.Error(w, "proxyID=POD.NAMESPACE is missing", http.StatusBadRequest)
		return
	}
	kind := model.ProxyType(cmp.Or(r.URL.Query().Get("proxy"), string(model.SidecarProxy)))
	if kind == "none" {
		kind = ""
	}
	writeJSON(w, s.opts.TLSChecks(namespace, pod, r.URL.Query().Get("host"), kind))
}
