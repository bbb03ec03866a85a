package debug

import (
	"net/http"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/inventory"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// The pages of which package inventory reads what it calls an inventory.
const (
	// ObjectsPath has all objects, a line each, without the keys of Secrets.
	ObjectsPath = "/debug/pilothouse/objects"
	// ProxiesPath lists the proxies that are connected to this replica.
	ProxiesPath = "/debug/pilothouse/proxies"
)

// maxInventories is how many callers may read all objects at a time; others are told to come again.
const maxInventories = 2

// objects writes the objects one after the other, so that it holds one of them as text at a time. Of what failed
// on the way the caller learns by the missing end.
func (s *Server) objects(w http.ResponseWriter, r *http.Request) {
	select {
	case s.inventories <- struct{}{}:
		defer func() { <-s.inventories }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "others are reading all objects; ask again in a moment", http.StatusServiceUnavailable)
		return
	}
	if _, ok := s.snapshot(w); !ok {
		return
	}
	all, err := s.opts.Objects(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	head, err := s.opts.Head(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if kinds := r.URL.Query()["kind"]; len(kinds) > 0 {
		all = slices.DeleteFunc(all, func(o *model.Object) bool { return !slices.Contains(kinds, string(o.Kind)) })
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	_ = inventory.Write(w, head, all)
}

func (s *Server) proxies(w http.ResponseWriter, _ *http.Request) {
	out := []model.Proxy{}
	for _, c := range s.opts.Connections() {
		out = append(out, c.Node.Proxy)
	}
	writeJSON(w, out)
}
