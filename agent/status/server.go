// Package status is the agent's HTTP server (port 15020). It has readiness for the kubelet, metrics of
// agent, Envoy and application in one answer, and the application's probes, which the kubelet cannot
// make itself through mutual TLS. From inside the pod only, it has draining, quitting and debugging.
//
// The local mesh makes probes too (localnode/pod), as the kubelet that asks the agent. It counts thresholds
// and knows Kubernetes' types, which the agent does not link; the agent answers one request by one of the
// application, headers and body included. What both do alike, gRPC's health protocol, is in grpchealth.
package status

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pilothouse-mesh/pilothouse/agent/tap"
	"github.com/pilothouse-mesh/pilothouse/agent/until"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// Config is what the server answers from.
type Config struct {
	// Address to listen on, such as ":15020".
	Address string
	// Ready are the conditions of readiness, asked in order; the first that fails is the answer.
	Ready []Condition
	// Metrics says what is merged into one scrape.
	Metrics MetricsConfig
	// Probers are the application's own probes, by request path.
	Probers map[string]Prober
	// ProbeToken is the secret that a caller of Probers has to send; empty for none.
	ProbeToken string
	// PodIP is where the application is probed.
	PodIP netip.Addr
	// Drain starts draining Envoy's inbound listeners.
	Drain func(ctx context.Context) error
	// Quit ends the agent in an orderly way.
	Quit func()
	// NameTable gives what the DNS proxy knows, for /debug/ndsz; nil when there is none.
	NameTable func() any
	// Tap serves what Envoy logs of requests, to the pod itself.
	Tap http.Handler
	// NoProfiles leaves out /debug/pprof.
	NoProfiles bool
	Logger     *slog.Logger
	Registry   *prometheus.Registry
}

// Condition is something that must hold for the proxy to take traffic.
type Condition interface {
	// Check gives nil, or what is missing.
	Check(ctx context.Context) error
}

// Server is the agent's HTTP server.
type Server struct {
	cfg         Config
	terminating atomic.Bool
	scraper     *scraper
	probes      *appProber
}

// New gives a Server.
func New(cfg Config) *Server {
	return &Server{
		cfg:     cfg,
		scraper: newScraper(cfg.Metrics, cfg.Registry, cfg.Logger),
		probes:  newAppProber(cfg.Probers, cfg.ProbeToken, cfg.PodIP, cfg.Logger),
	}
}

// Terminating makes the proxy unready from now on.
func (s *Server) Terminating() { s.terminating.Store(true) }

// Listen opens the port; Serve answers on it. They are apart so that a port in use is an error
// before Envoy is started.
func (s *Server) Listen(ctx context.Context) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("status port: %w", err)
	}
	return l, nil
}

// Serve answers until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
	defer s.scraper.close()
	// Only a scrape may be under way: nothing is worth waiting for.
	if err := until.Done(ctx, func() error { return srv.Serve(l) }, func() { _ = srv.Close() }); err != nil {
		return fmt.Errorf("status port: %w", err)
	}
	return nil
}

// Handler is the server's routing.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz/ready", s.ready)
	metrics := s.scraper.ServeHTTP
	if s.cfg.Metrics.LocalOnly {
		metrics = local(metrics)
	}
	mux.HandleFunc("/stats/prometheus", metrics)
	mux.HandleFunc("/metrics", metrics)
	mux.HandleFunc(telemetry.MetricsPath, local(s.scraper.envoyOnly))
	mux.Handle("/app-health/", s.probes)
	mux.Handle("/app-lifecycle/", s.probes)
	mux.HandleFunc("/quitquitquit", local(post(s.quit)))
	mux.HandleFunc("/drain", local(post(s.drain)))
	if s.cfg.Tap != nil {
		mux.HandleFunc(tap.Path, local(s.cfg.Tap.ServeHTTP))
	}
	mux.HandleFunc("/debug/ndsz", local(s.nameTable))
	if s.cfg.NoProfiles {
		return mux
	}
	mux.HandleFunc("/debug/pprof/", local(pprof.Index))
	mux.HandleFunc("/debug/pprof/cmdline", local(pprof.Cmdline))
	mux.HandleFunc("/debug/pprof/profile", local(pprof.Profile))
	mux.HandleFunc("/debug/pprof/symbol", local(pprof.Symbol))
	mux.HandleFunc("/debug/pprof/trace", local(pprof.Trace))
	return mux
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.terminating.Load() {
		http.Error(w, "not ready: the proxy is terminating", http.StatusServiceUnavailable)
		return
	}
	for _, c := range s.cfg.Ready {
		if err := c.Check(r.Context()); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	w.WriteHeader(http.StatusOK)
}

func (s *Server) quit(w http.ResponseWriter, _ *http.Request) {
	s.cfg.Logger.Info("asked to quit", "by", "/quitquitquit")
	fmt.Fprintln(w, "OK")
	s.cfg.Quit()
}

func (s *Server) drain(w http.ResponseWriter, r *http.Request) {
	if err := s.cfg.Drain(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "OK")
}

func (s *Server) nameTable(w http.ResponseWriter, _ *http.Request) {
	if s.cfg.NameTable == nil {
		http.Error(w, "the DNS proxy is off", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s.cfg.NameTable()); err != nil {
		s.cfg.Logger.Debug("name table not written", "error", err)
	}
}

// local refuses callers from outside the pod.
func local(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		addr, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !addr.Addr().Unmap().IsLoopback() {
			http.Error(w, "only from inside the pod, by loopback", http.StatusForbidden)
			return
		}
		next(w, r)
	}
}

func post(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, strings.TrimPrefix(r.URL.Path, "/")+" takes POST", http.StatusMethodNotAllowed)
			return
		}
		next(w, r)
	}
}
