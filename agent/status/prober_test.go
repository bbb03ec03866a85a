package status

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func mustProbers(t *testing.T, text string) map[string]Prober {
	t.Helper()
	p, problems := ParseProbers(text)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p
}

func probing(t *testing.T, probers string) *Server {
	return server(t, func(c *Config) {
		c.Probers = mustProbers(t, probers)
		c.PodIP = netip.MustParseAddr("127.0.0.1")
	})
}

func portOf(url string) string { return url[strings.LastIndex(url, ":")+1:] }

func TestHTTPProbe(t *testing.T) {
	var seen *http.Request
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		seen = r
		io.WriteString(w, strings.Repeat("x", 20<<10))
	})
	mux.HandleFunc("/sick", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "sick", http.StatusTeapot) })
	mux.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/sick", http.StatusFound) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://example.invalid/", http.StatusFound)
	})
	app := httptest.NewServer(mux)
	defer app.Close()
	tls := httptest.NewTLSServer(mux)
	defer tls.Close()
	s := probing(t, fmt.Sprintf(`{
		"/app-health/a/livez": {"httpGet":{"path":"/ok","port":%s,"httpHeaders":[{"name":"Host","value":"app.local"},{"name":"X-A","value":"1"}]}},
		"/app-health/a/readyz": {"httpGet":{"path":"sick","port":"%[1]s"},"timeoutSeconds":3},
		"/app-health/b/livez": {"httpGet":{"path":"/here","port":%[1]s}},
		"/app-health/b/readyz": {"httpGet":{"path":"/away","port":%[1]s,"host":"localhost"}},
		"/app-lifecycle/a/prestopz": {"httpGet":{"path":"/ok","port":%[2]s,"scheme":"HTTPS"}},
		"/app-health/b/startupz": {"httpGet":{"path":"/ok","port":1}}}`, portOf(app.URL), portOf(tls.URL)))
	for path, code := range map[string]int{
		"/app-health/a/livez":       200,
		"/app-health/a/readyz":      418,
		"/app-health/b/livez":       418,
		"/app-health/b/readyz":      200,
		"/app-lifecycle/a/prestopz": 200,
		"/app-health/b/startupz":    500,
		"/app-health/unknown/livez": 400,
	} {
		if got, body := ask(s, http.MethodGet, path, outside); got != code {
			t.Errorf("%s: %d, want %d: %.100s", path, got, code, body)
		}
	}
	req := httptest.NewRequest(http.MethodGet, "/app-health/a/livez", nil)
	req.Header.Set("User-Agent", "kube-probe/1.36")
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, req)
	if rec.Body.Len() != maxProbeBody {
		t.Errorf("body of %d bytes, want %d", rec.Body.Len(), maxProbeBody)
	}
	if seen.Host != "app.local" || seen.Header.Get("X-A") != "1" || seen.UserAgent() != "kube-probe/1.36" {
		t.Errorf("application saw host %q, headers %v", seen.Host, seen.Header)
	}
	if !strings.HasPrefix(seen.RemoteAddr, "127.0.0.6:") {
		t.Errorf("probe came from %s, want 127.0.0.6", seen.RemoteAddr)
	}
}

// TestProbeToken says that probes and hooks of every kind answer only who sends the pod's secret, and
// that the application does not get to see it.
func TestProbeToken(t *testing.T) {
	var calls int
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		calls++
		if v := r.Header.Get(probeHeader); v != "" {
			t.Errorf("the application saw %q", v)
		}
	}))
	defer app.Close()
	s := server(t, func(c *Config) {
		c.ProbeToken = "secret"
		c.PodIP = netip.MustParseAddr("127.0.0.1")
		c.Probers = mustProbers(t, fmt.Sprintf(`{
			"/app-health/a/livez": {"httpGet":{"port":%s}},
			"/app-health/a/readyz": {"tcpSocket":{"port":%[1]s}},
			"/app-lifecycle/a/prestopz": {"httpGet":{"port":%[1]s}}}`, portOf(app.URL)))
	})
	for _, path := range []string{"/app-health/a/livez", "/app-health/a/readyz", "/app-lifecycle/a/prestopz", "/app-lifecycle/a/none"} {
		for token, code := range map[string]int{"": 403, "secre": 403, "secret2": 403, "secret": 200} {
			if token == "secret" && strings.HasSuffix(path, "none") {
				code = 400
			}
			req := httptest.NewRequest(http.MethodGet, path, nil)
			req.Header.Set(probeHeader, token)
			req.RemoteAddr = outside
			rec := httptest.NewRecorder()
			s.Handler().ServeHTTP(rec, req)
			if rec.Code != code {
				t.Errorf("%s with %q: %d, want %d", path, token, rec.Code, code)
			}
		}
	}
	if calls != 2 {
		t.Errorf("the application was asked %d times, want twice", calls)
	}
}

func TestTCPProbe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := probing(t, fmt.Sprintf(`{"/app-health/a/livez":{"tcpSocket":{"port":%d}}}`, l.Addr().(*net.TCPAddr).Port))
	if code, body := ask(s, http.MethodGet, "/app-health/a/livez", outside); code != 200 {
		t.Errorf("open port: %d %s", code, body)
	}
	l.Close()
	if code, _ := ask(s, http.MethodGet, "/app-health/a/livez", outside); code != 500 {
		t.Errorf("closed port: %d", code)
	}
}

func TestGRPCProbe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv, state := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(srv, state)
	state.SetServingStatus("down", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	done := make(chan error)
	go func() { done <- srv.Serve(l) }()
	defer func() {
		srv.Stop()
		<-done
	}()
	s := probing(t, fmt.Sprintf(`{"/app-health/a/livez":{"grpc":{"port":%d,"service":null}},
		"/app-health/b/livez":{"grpc":{"port":%[1]d,"service":"down"}}}`, l.Addr().(*net.TCPAddr).Port))
	for path, code := range map[string]int{"/app-health/a/livez": 200, "/app-health/b/livez": 500} {
		if got, body := ask(s, http.MethodGet, path, outside); got != code {
			t.Errorf("%s: %d %s", path, got, body)
		}
	}
}

func TestProbeTimeout(t *testing.T) {
	release := make(chan struct{})
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer app.Close()
	defer close(release)
	s := probing(t, fmt.Sprintf(`{"/app-health/a/livez":{"httpGet":{"port":%s}}}`, portOf(app.URL)))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the kubelet gave up"))
	req := httptest.NewRequest(http.MethodGet, "/app-health/a/livez", nil).WithContext(ctx)
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, req)
	if rec.Code != 500 {
		t.Errorf("status %d", rec.Code)
	}
}

func TestOneBadProberHarmsOnlyItself(t *testing.T) {
	probers, problems := ParseProbers(`{
		"/app-health/a/livez": {"httpGet":{"port":80}},
		"/app-health/a/readyz": {"httpGet":{"port":"http"}},
		"/app-health/a/startupz": {},
		"/app-health/b/livez": {"httpGet":{"port":1},"tcpSocket":{"port":1}},
		"/app-health/b/readyz": {"httpGet":{"path":"/"}},
		"/app-health/b/startupz": {"httpGet":{"port":1,"scheme":"gopher"}},
		"/app-health/c/livez": {"tcpSocket":{}},
		"/app-lifecycle/a/livez": {"tcpSocket":{"port":1}},
		"//x/y": {"tcpSocket":{"port":1}},
		"/app-health/livez": {"tcpSocket":{"port":1}}}`)
	if len(probers) != 1 || len(problems) != 9 {
		t.Errorf("%d probers, %d problems: %v", len(probers), len(problems), problems)
	}
	for _, p := range problems {
		if !strings.HasPrefix(p.Error(), "ISTIO_KUBE_APP_PROBERS: /") {
			t.Errorf("problem does not name its probe: %v", p)
		}
	}
	if _, problems := ParseProbers("["); len(problems) != 1 {
		t.Errorf("no object: %v", problems)
	}
}

func FuzzProbers(f *testing.F) {
	f.Add(`{"/app-health/a/livez":{"httpGet":{"path":"/ok","port":"80"}}}`)
	f.Add(`{"/app-lifecycle/a/prestopz":{"grpc":{"port":80,"service":"x"}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		probers, _ := ParseProbers(text)
		for path, p := range probers {
			if checkProberPath(path) != nil || p.timeout() <= 0 {
				t.Fatalf("%q: %+v", path, p)
			}
		}
	})
}
