package health

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func port(t *testing.T, addr net.Addr) float64 {
	t.Helper()
	return float64(addr.(*net.TCPAddr).Port)
}

func TestEachKindOfProbe(t *testing.T) {
	var code atomic.Int32
	var host atomic.Value
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host.Store(r.Host + r.URL.Path + r.Header.Get("X-A"))
		w.WriteHeader(int(code.Load()))
	}))
	defer web.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rpc, state := grpc.NewServer(), grpchealth.NewServer()
	grpc_health_v1.RegisterHealthServer(rpc, state)
	go func() { _ = rpc.Serve(l) }()
	defer rpc.Stop()
	state.SetServingStatus("down", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := port(t, gone.Addr())
	_ = gone.Close()
	object := func(kind string, of map[string]any) map[string]any {
		return map[string]any{kind: of, "timeoutSeconds": 10}
	}
	get := object("httpGet", map[string]any{
		"port": port(t, web.Listener.Addr()), "host": "127.0.0.1", "scheme": "HTTPS", "path": "well",
		"httpHeaders": []any{map[string]any{"name": "Host", "value": "app"}, map[string]any{"name": "X-A", "value": "b"}},
	})
	for name, c := range map[string]struct {
		probe map[string]any
		code  int32
		want  string // part of the error, "" for health
	}{
		"http":           {get, 204, ""},
		"http elsewhere": {get, 302, ""},
		"http refused":   {get, 404, "answers 404"},
		"tcp":            {object("tcpSocket", map[string]any{"host": "127.0.0.1", "port": port(t, l.Addr())}), 0, ""},
		"tcp refused":    {object("tcpSocket", map[string]any{"host": "127.0.0.1", "port": closed}), 0, "refused"},
		"exec":           {object("exec", map[string]any{"command": []any{"true"}}), 0, ""},
		"exec fails":     {object("exec", map[string]any{"command": []any{"sh", "-c", "echo no room; exit 3"}}), 0, "no room"},
		"grpc":           {object("grpc", map[string]any{"port": port(t, l.Addr())}), 0, ""},
		"grpc service":   {object("grpc", map[string]any{"port": port(t, l.Addr()), "service": "down"}), 0, "NOT_SERVING"},
	} {
		t.Run(name, func(t *testing.T) {
			code.Store(c.code)
			p, err := Parse(c.probe)
			if err != nil {
				t.Fatal(err)
			}
			err = p.ask(t.Context())
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if got := host.Load(); got != "app/wellb" {
		t.Errorf("the application saw %v", got)
	}
}

func TestProbesThatMakeNoSenseAreRefused(t *testing.T) {
	for _, raw := range []map[string]any{
		{},
		{"exec": map[string]any{}},
		{"tcpSocket": map[string]any{}},
		{"tcpSocket": map[string]any{"port": 70000}},
		{"grpc": map[string]any{"port": 1}, "tcpSocket": map[string]any{"port": 1}},
		{"httpGet": map[string]any{"port": 1, "scheme": "FTP"}},
		{"tcpSocket": map[string]any{"port": 1}, "periodSeconds": -1},
		{"tcpSocket": "x"},
	} {
		if _, err := Parse(raw); err == nil {
			t.Errorf("%v is taken", raw)
		}
	}
	if p, err := Parse(nil); p != nil || err != nil {
		t.Error("without a probe there is none")
	}
}

func TestThresholds(t *testing.T) {
	p := &Probe{SuccessThreshold: 2, FailureThreshold: 3}
	var s streak
	got := ""
	for _, r := range "++-+--+----++-++---" {
		switch {
		case !s.add(r == '+', p):
			got += "."
		default:
			got += string(r)
		}
	}
	if want := ".+.......-..+.....-"; got != want {
		t.Errorf("told at %s", got)
	}
}

// TestChangesAreTold runs a Checker whose application gets ill.
func TestChangesAreTold(t *testing.T) {
	var code atomic.Int32
	code.Store(200)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(code.Load())) }))
	defer web.Close()
	p, err := Parse(map[string]any{"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 10, "httpGet": map[string]any{"host": "127.0.0.1", "port": port(t, web.Listener.Addr())}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan error, 10), make(chan error)
	go func() { ended <- New(p, func(err error) { told <- err }, slog.New(slog.DiscardHandler)).Run(ctx) }()
	if err := <-told; err != nil {
		t.Errorf("first: %v", err)
	}
	code.Store(500)
	if err := <-told; err == nil {
		t.Error("it is not told that the application is ill")
	}
	cancel()
	if err := <-ended; err != nil || len(told) > 0 {
		t.Errorf("%v, %d more changes", err, len(told))
	}
}
