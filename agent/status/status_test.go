package status

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func server(t *testing.T, change func(*Config)) *Server {
	t.Helper()
	cfg := Config{Address: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()}
	if change != nil {
		change(&cfg)
	}
	s := New(cfg)
	t.Cleanup(s.scraper.close)
	return s
}

// ask calls a handler as if from an address.
func ask(s *Server, method, path, from string) (int, string) {
	req := httptest.NewRequest(method, path, nil)
	req.RemoteAddr = from
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, req)
	return rec.Code, rec.Body.String()
}

const (
	inside  = "127.0.0.1:5000"
	outside = "10.0.0.9:5000"
)

func TestReadinessSaysWhatIsMissing(t *testing.T) {
	var missing error
	s := server(t, func(c *Config) {
		c.Ready = []Condition{
			conditionFunc(func(context.Context) error { return nil }),
			conditionFunc(func(context.Context) error { return missing }),
		}
	})
	if code, _ := ask(s, http.MethodGet, "/healthz/ready", outside); code != http.StatusOK {
		t.Errorf("ready: %d", code)
	}
	missing = errors.New("no name table")
	if code, body := ask(s, http.MethodGet, "/healthz/ready", outside); code != http.StatusServiceUnavailable || !strings.Contains(body, "no name table") {
		t.Errorf("unready: %d %s", code, body)
	}
	missing = nil
	s.Terminating()
	if code, body := ask(s, http.MethodGet, "/healthz/ready", outside); code != http.StatusServiceUnavailable || !strings.Contains(body, "terminating") {
		t.Errorf("terminating: %d %s", code, body)
	}
}

func TestEnvoyReady(t *testing.T) {
	const (
		live    = "server.state: 0\n"
		cds     = "cluster_manager.cds.update_success: 1\n"
		lds     = "listener_manager.lds.update_success: 3\n"
		workers = "listener_manager.workers_started: 1\n"
	)
	var stats atomic.Value
	stats.Store("")
	envoy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, stats.Load().(string))
	}))
	e := NewEnvoyReady(strings.TrimPrefix(envoy.URL, "http://"))
	for _, step := range []struct{ stats, want string }{
		{"server.state: 2\n", "clusters (CDS) and listeners (LDS)"},
		{"server.state: 2\n" + cds, "plane: listeners (LDS)"},
		{"server.state: 3\n" + cds + lds, "INITIALIZING"},
		{cds + lds, "does not tell its state"},
		{live + cds + lds, "workers"},
		{live + cds + lds + workers, ""},
		{live, ""}, // latched
		{"server.state: 1\n", "DRAINING"},
		{"server.state: 9\n", "state 9"},
	} {
		stats.Store(step.stats)
		err := e.Check(t.Context())
		if (err == nil) != (step.want == "") || err != nil && !strings.Contains(err.Error(), step.want) {
			t.Errorf("stats %q: %v, want %q", step.stats, err, step.want)
		}
	}
	envoy.Close()
	if err := e.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("dead Envoy: %v", err)
	}
}

func TestInsideOnly(t *testing.T) {
	drained, quit := 0, 0
	var drainErr error
	s := server(t, func(c *Config) {
		c.Drain = func(context.Context) error { drained++; return drainErr }
		c.Quit = func() { quit++ }
		c.NameTable = func() any { return map[string]string{"reviews": "10.0.0.1"} }
	})
	for _, tc := range []struct {
		method, path, from string
		code               int
	}{
		{http.MethodPost, "/quitquitquit", outside, 403},
		{http.MethodPost, "/drain", outside, 403},
		{http.MethodGet, "/debug/ndsz", outside, 403},
		{http.MethodGet, "/debug/pprof/", outside, 403},
		{http.MethodGet, "/quitquitquit", inside, 405},
		{http.MethodGet, "/drain", inside, 405},
		{http.MethodPost, "/drain", inside, 200},
		{http.MethodPost, "/quitquitquit", "[::1]:1", 200},
		{http.MethodGet, "/debug/ndsz", inside, 200},
		{http.MethodGet, "/debug/pprof/", inside, 200},
		{http.MethodGet, "/other", inside, 404},
	} {
		if code, body := ask(s, tc.method, tc.path, tc.from); code != tc.code {
			t.Errorf("%s %s from %s: %d %s", tc.method, tc.path, tc.from, code, body)
		}
	}
	if drained != 1 || quit != 1 {
		t.Errorf("drained %d times, quit %d times", drained, quit)
	}
	drainErr = errors.New("no admin")
	if code, _ := ask(s, http.MethodPost, "/drain", inside); code != 500 {
		t.Errorf("failing drain: %d", code)
	}
	if code, _ := ask(server(t, nil), http.MethodGet, "/debug/ndsz", inside); code != 404 {
		t.Errorf("name table without DNS: %d", code)
	}
}

func TestServeUntilDone(t *testing.T) {
	s := server(t, nil)
	l, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	res, err := http.Get("http://" + l.Addr().String() + "/healthz/ready")
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()

	s2 := server(t, func(c *Config) { c.Address = l.Addr().String() })
	if _, err := s2.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "status port") {
		t.Errorf("port in use: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("the port is still open")
	}
}

// conditionFunc is a Condition that is a function.
type conditionFunc func(ctx context.Context) error

// Check implements Condition.
func (f conditionFunc) Check(ctx context.Context) error { return f(ctx) }
