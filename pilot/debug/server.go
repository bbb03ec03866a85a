// Package debug shows what the control plane knows and what it sent: readiness, metrics, version
// and the pages below /debug, in the schemas that Istio's tools read and one of our own. The pages
// are open to the machine itself; who comes from elsewhere has to prove who it is.
package debug

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
)

// Snapshot is what the pages show of the mesh's configuration.
type Snapshot interface {
	Mesh() *meshconfig.MeshConfig
	Services(namespace string) []*model.Service
	Endpoints(service model.Key) []model.Endpoint
}

// Options of a Server; functions are called for each request.
type Options struct {
	Ready       func() bool
	Connections func() []xds.Connection
	Problems    func() []model.Problem
	Snapshot    func() Snapshot // nil before the first commit
	Gatherer    prometheus.Gatherer
	Version     string
	ClusterID   string
	Name        string // of this replica, e.g. istiod-1
	// Authenticate admits callers from other machines; nil refuses them all.
	Authenticate func(*http.Request) error
}

// Server makes the handlers.
type Server struct{ opts Options }

// New gives a Server.
func New(opts Options) *Server { return &Server{opts} }

// page is one debug page.
type page struct {
	path, help string
	serve      http.HandlerFunc
}

func (s *Server) pages() []page {
	return []page{
		{"/debug/syncz", "what proxies were sent and acknowledged, in Istio's schema", s.syncz},
		{"/debug/pilothouse/syncz", "the same with state, age and errors", s.richSyncz},
		{"/debug/config_dump", "what a proxy was sent, as Envoy's ConfigDump; proxyID=POD.NAMESPACE", s.configDump},
		{"/debug/connections", "streams", s.connections},
		{"/debug/endpointz", "services with their endpoints", s.endpointz},
		{"/debug/problems", "objects that are not in effect, and why", s.problems},
		{"/debug/mesh", "the mesh configuration in effect", s.mesh},
		{"/debug/list", "this list", s.list},
		{"/debug/pprof/", "profiles", pprof.Index},
		{"/debug/pprof/profile", "CPU profile", pprof.Profile},
		{"/debug/pprof/trace", "execution trace", pprof.Trace},
		{"/debug/pprof/cmdline", "command line", pprof.Cmdline},
		{"/debug/pprof/symbol", "symbols", pprof.Symbol},
	}
}

// Monitoring gives the handler of the monitoring port: /metrics, /version and /debug.
func (s *Server) Monitoring() http.Handler {
	mux := s.mux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		writeText(w, s.opts.Version)
	})
	return mux
}

// HTTP gives the handler of the HTTP port: /ready and /debug.
func (s *Server) HTTP() http.Handler {
	mux := s.mux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if !s.opts.Ready() {
			http.Error(w, "not ready: the first configuration is not served yet", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	return mux
}

func (s *Server) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, p := range s.pages() {
		mux.Handle(p.path, s.guard(p.serve))
	}
	return mux
}

// guard lets in the machine itself and those who prove who they are.
func (s *Server) guard(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local(r.RemoteAddr) {
			next(w, r)
			return
		}
		if s.opts.Authenticate == nil {
			http.Error(w, "debug pages are served to the control plane's own machine only; use a port-forward", http.StatusForbidden)
			return
		}
		if err := s.opts.Authenticate(r); err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "debug pages need proof of identity: "+err.Error(), http.StatusUnauthorized)
			return
		}
		next(w, r)
	})
}

func local(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func (s *Server) list(w http.ResponseWriter, _ *http.Request) {
	type entry struct {
		Path string `json:"path"`
		Help string `json:"help"`
	}
	out := []entry{}
	for _, p := range s.pages() {
		out = append(out, entry{p.path, p.help})
	}
	slices.SortFunc(out, func(a, b entry) int { return strings.Compare(a.Path, b.Path) })
	writeJSON(w, out)
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text)) // a client that went away is no error of ours
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n'))
}
