package discovery

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const service = `
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: default}
spec: {clusterIP: 10.96.0.%d, selector: {app: x}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
`

func testConfig(t *testing.T, dir string) Config {
	addr := func() string { return fmt.Sprintf("127.0.0.1:%d", envoytest.FreePort(t)) }
	return Config{
		ConfigDirs: []string{dir}, Domain: "cluster.local", ClusterID: "Kubernetes",
		GRPCAddr: addr(), SecureGRPCAddr: addr(), HTTPAddr: addr(), MonitoringAddr: addr(),
		Version: "test", Name: "istiod-0", Logger: slog.New(slog.DiscardHandler),
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serve runs a control plane until the test ends, which it does without an error.
func serve(t *testing.T, run func(context.Context) error) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ended by %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return ctx
}

func TestFromDirectoryToProxy(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", fmt.Sprintf(service, "first", 1)+pod)
	cfg := testConfig(t, dir)
	ctx := serve(t, func(ctx context.Context) error { return Run(ctx, cfg) })
	envoytest.Eventually(t, "ready", func() bool {
		code, _ := get(t, "http://"+cfg.HTTPAddr+"/ready")
		return code == http.StatusOK
	})
	conn, err := grpc.NewClient(cfg.GRPCAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	node := &corev3.Node{Id: "sidecar~10.0.0.1~pod.default~default.svc.cluster.local"}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: xdsres.Clusters.URL()}); err != nil {
		t.Fatal(err)
	}
	first := receive(t, stream)
	if !has(first, "outbound|80||first.default.svc.cluster.local") {
		t.Errorf("the first response holds %v", first)
	}
	for path, want := range map[string]string{
		"/debug/pilothouse/syncz": `"proxy": "pod.default"`, "/debug/syncz": `"cluster_sent"`, "/debug/connections": `"delta"`,
		"/debug/config_dump?proxyID=pod.default": "outbound|80||first.default.svc.cluster.local",
		"/debug/endpointz":                       `"ServicePortName": "http"`, "/debug/pilothouse/endpointz": "first.default.svc.cluster.local:http", "/debug/mesh": "rootNamespace",
		"/debug/list": `"pilothouse/syncz"`, "/debug": "/debug/connections", "/debug/problems": "[", "/metrics": `istio_build{component="pilot",tag="test"} 1`, "/version": "test",
	} {
		if code, body := get(t, "http://"+cfg.MonitoringAddr+path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, without %q: %s", path, code, want, body)
		}
	}
	write(t, dir, "b.yaml", fmt.Sprintf(service, "second", 2))
	if next := receive(t, stream); !has(next, "outbound|80||second.default.svc.cluster.local") || len(next) != 1 {
		t.Errorf("after an edit came %v", next)
	}
}

func receive(t *testing.T, s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient) []string {
	t.Helper()
	r, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, res := range r.GetResources() {
		names = append(names, res.GetName())
	}
	return names
}

func has(names []string, want string) bool {
	for _, n := range names {
		if n == want {
			return true
		}
	}
	return false
}

func TestBadInputIsOneSentence(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	write(t, filepath.Dir(file), "file", "x")
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"http port":  {func(c *Config) { c.HTTPAddr = taken.Addr().String() }, "--httpAddr"},
		"grpc port":  {func(c *Config) { c.GRPCAddr = taken.Addr().String() }, "--grpcAddr"},
		"no dir":     {func(c *Config) { c.ConfigDirs = nil }, "--configDir"},
		"absent dir": {func(c *Config) { c.ConfigDirs = []string{"/does/not/exist"} }, "/does/not/exist"},
		"CA dir":     {func(c *Config) { c.CADir = file }, file},
		"JWKS":       {func(c *Config) { c.TokenJWKS = "/no/jwks" }, "/no/jwks"},
	} {
		cfg := testConfig(t, t.TempDir())
		c.change(&cfg)
		err := Run(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one sentence with %s", name, err, c.want)
		}
	}
}
