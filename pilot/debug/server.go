// Package debug shows what the control plane knows and what it sent: readiness, metrics, version
// and the pages below /debug, in the schemas that Istio's tools read and one of our own. The pages
// are open to the machine itself; who comes from elsewhere has to prove who it is.
package debug

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pilothouse-mesh/pilothouse/pilot/inventory"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/page"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// Snapshot is what the pages show of the mesh's configuration.
type Snapshot interface {
	Mesh() *meshconfig.MeshConfig
	Services(namespace string) []*model.Service
	AllServices() []*model.Service
	Endpoints(service model.ServiceID) []model.Endpoint
}

// Options of a Server; functions are called for each request.
type Options struct {
	Ready       func() bool
	Connections func() []xds.Connection
	Problems    func() []model.Problem
	Snapshot    func() Snapshot // nil before the first commit
	// Roots tells what is known of the roots that proxies have; false before there is a CA.
	Roots func() (ca.Heard, bool)
	// TLSChecks compares for a pod with a proxy of a kind, "" for none, see resolve.TLSChecks.
	TLSChecks func(namespace, pod, host string, kind model.ProxyType) []resolve.TLSCheck
	// Objects gives all objects that decide about proxies, and Head what else does.
	Objects   func(context.Context) ([]*model.Object, error)
	Head      func(context.Context) (inventory.Head, error)
	Gatherer  prometheus.Gatherer
	Version   string
	ClusterID string
	Name      string // of this replica, e.g. istiod-1
	// Authenticate proves from which namespace a caller on another machine comes; nil refuses them
	// all.
	Authenticate func(*http.Request) (namespace string, err error)
	// Replica is what the control plane's replicas prove when they ask each other; the zero value where none does.
	Replica xds.Identity
	// ControlPlane tells whether an identity is a control plane's that has the same CA, of any revision, which may know
	// what the page of roots says; nil where none is.
	ControlPlane func(xds.Identity) bool
	// Page is what people see in a browser, nil for none.
	Page *page.Page
}

// Server makes the handlers.
type Server struct {
	opts        Options
	inventories chan struct{} // holds a token for each caller that reads all objects
}

// New gives a Server.
func New(opts Options) *Server { return &Server{opts, make(chan struct{}, maxInventories)} }

// debugPage is one debug page.
type debugPage struct {
	path, help string
	serve      http.HandlerFunc
	// proxy is true where the page is about the proxy that the parameter proxyID names, so that
	// callers from the proxy's own namespace may see it.
	proxy bool
	// large is true where the page is written in parts, and so not in one message over ADS.
	large bool
}

// DashboardPath is where the page for people is.
const DashboardPath = "/debug/dashboard/"

func (s *Server) pages() []debugPage {
	pages := s.dumps()
	if s.opts.Page != nil {
		pages = append(pages, debugPage{path: DashboardPath, help: "the mesh in a browser", serve: s.opts.Page.Handler(DashboardPath).ServeHTTP})
	}
	return pages
}

func (s *Server) dumps() []debugPage {
	return []debugPage{
		{path: "/debug/syncz", help: "what proxies were sent and acknowledged, in Istio's schema", serve: s.syncz},
		{path: "/debug/pilothouse/syncz", help: "the same with state, age and errors", serve: s.richSyncz},
		{path: "/debug/config_dump", help: "what a proxy was sent, as Envoy's ConfigDump; proxyID=POD.NAMESPACE", serve: s.configDump, proxy: true},
		{path: "/debug/pilothouse/tls", help: "what services ask of clients and what a pod's sidecar does; proxyID=POD.NAMESPACE, host=HOST", serve: s.tls, proxy: true},
		{path: RootsPath, help: "the CA's roots, and which of them proxies have", serve: s.roots},
		{path: "/debug/connections", help: "streams", serve: s.connections},
		{path: "/debug/endpointz", help: "endpoints by service and namespace, in Istio's schema", serve: s.shards},
		{path: "/debug/endpointShardz", help: "the same", serve: s.shards},
		{path: "/debug/pilothouse/endpointz", help: "services that a namespace sees, with their endpoints; namespace=NAMESPACE", serve: s.endpointz},
		{path: ObjectsPath, help: "all objects that decide about proxies, a line each, without the keys of Secrets; kind=KIND for those of some kinds", serve: s.objects, large: true},
		{path: ProxiesPath, help: "the connected proxies, as they describe themselves", serve: s.proxies},
		{path: "/debug/problems", help: "objects that are not in effect, and why", serve: s.problems},
		{path: "/debug/clusterz", help: "the clusters whose objects are served, in Istio's schema", serve: s.clusters},
		{path: "/debug/mesh", help: "the mesh configuration in effect", serve: s.mesh},
		{path: "/debug/list", help: "the names of these pages", serve: s.list},
		{path: "/debug", help: "this page", serve: s.index},
		{path: "/debug/pprof/", help: "profiles", serve: pprof.Index},
		{path: "/debug/pprof/profile", help: "CPU profile", serve: pprof.Profile},
		{path: "/debug/pprof/trace", help: "execution trace", serve: pprof.Trace},
		{path: "/debug/pprof/cmdline", help: "command line", serve: pprof.Cmdline},
		{path: "/debug/pprof/symbol", help: "symbols", serve: pprof.Symbol},
	}
}

// maxScrapes is how many callers may read the metrics at a time; others are told to come again.
const maxScrapes = 16

// Monitoring gives the handler of the monitoring port: /metrics, /version and /debug.
func (s *Server) Monitoring() http.Handler {
	mux := s.mux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: maxScrapes}))
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
			http.Error(w, "not ready: the first configuration, or a webhook, is not served yet", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	return mux
}

func (s *Server) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, p := range s.pages() {
		mux.Handle(p.path, s.guard(p))
	}
	return mux
}

// index is for people: each page with what it shows.
func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	for _, p := range s.pages() {
		fmt.Fprintf(&b, "%-32s %s\n", p.path, p.help)
	}
	writeText(w, b.String())
}

// list is for tools, in Istio's schema: the names of the other pages.
func (s *Server) list(w http.ResponseWriter, _ *http.Request) {
	names := []string{}
	for _, p := range s.pages() {
		if name, ok := strings.CutPrefix(p.path, "/debug/"); ok && name != "list" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	writeJSON(w, names)
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
