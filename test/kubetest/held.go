package kubetest

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
)

// Held is a way to a server on which watches of a resource can be held up, as those of a replica that lags.
type Held struct {
	server   *Server
	resource string
	released chan struct{}
}

// Hold gives a way to the server, until the test ends, on which nothing of a resource's changes comes until Release.
// Its list is given.
func (s *Server) Hold(t *testing.T, resource string) (*Held, string) {
	h := &Held{server: s, resource: resource, released: make(chan struct{})}
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return h, server.URL
}

// Release lets the changes through that were held up, and all later ones.
func (h *Held) Release() { close(h.released) }

// ServeHTTP passes a request on.
func (h *Held) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if query := r.URL.Query(); resource(r.URL.Path) == h.resource && query.Get("watch") != "" && query.Get("sendInitialEvents") == "" {
		w.Header().Set("Content-Type", "application/json")
		w.(http.Flusher).Flush()
		select {
		case <-h.released:
		case <-r.Context().Done():
			return
		}
	}
	h.server.ServeHTTP(w, r)
}

// Bookmark tells all watches of a resource, of which an object names the kind, that nothing has changed up to now.
func (s *Server) Bookmark(resource string, of Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mark := Object{"kind": of["kind"], "apiVersion": of["apiVersion"], "metadata": Object{"resourceVersion": strconv.Itoa(s.version)}}
	for ch := range s.watches[resource] {
		ch <- event{Type: "BOOKMARK", Object: mark}
	}
}
