package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

func TestEnvoyAcceptsGoldens(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.json")
	for _, f := range files {
		out, err := exec.Command(envoytest.Path(t), "--mode", "validate", "--disable-hot-restart", "-c", f).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", f, err, out)
		}
		for _, line := range strings.Split(string(out), "\n") {
			// Listeners whose tracing names no provider have no other place to find one.
			if strings.Contains(line, "bootstrap.v3.Bootstrap.tracing") {
				continue
			}
			if strings.Contains(line, "deprecated") || strings.Contains(line, "unknown field") {
				t.Errorf("%s: %s", f, line)
			}
		}
	}
}

// written gives a configuration sockets and ports that are free, and writes the bootstrap that comes of it.
func written(t *testing.T, c *Config) (path string) {
	t.Helper()
	dir := t.TempDir()
	c.XDSSocket, c.SDSSocket = filepath.Join(dir, "xds"), filepath.Join(dir, "sds")
	c.Proxy.AdminPort, c.Proxy.StatusPort = envoytest.FreePort(t), envoytest.FreePort(t)
	c.HealthPort, c.PrometheusPort = envoytest.FreePort(t), envoytest.FreePort(t)
	data, err := Build(*c)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "envoy-rev.json")
	if err := Write(path, data); err != nil {
		t.Fatal(err)
	}
	return path
}

// A real Envoy starts with the bootstrap, names itself to the control plane, and its own listeners
// answer; the names of its statistics carry Istio's labels.
func TestEnvoyRuns(t *testing.T) {
	c := sidecar(t)
	path := written(t, &c)
	nodes := make(chan *discovery.DeltaDiscoveryRequest, 1)
	envoytest.ServeADS(t, c.XDSSocket, &envoytest.ADS{Nodes: nodes})
	// Names as the control plane gives them, through the user's own bootstrap.
	start(t, path, `
stats_config: {stats_matcher: {inclusion_list: {patterns: [{prefix: "http."}, {prefix: "tcp."}, {prefix: "listener."}, {prefix: "cluster."}]}}}
static_resources:
  clusters:
  - {name: x, alt_stat_name: "outbound|80|v1|reviews.default.svc.cluster.local;", type: STATIC, connect_timeout: 1s}
  listeners:
  - name: x
    address: {socket_address: {address: 127.0.0.1, port_value: `+fmt.Sprint(envoytest.FreePort(t))+`}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/`+hcmType+`
          stat_prefix: "outbound_0.0.0.0_80;"
          route_config: {}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
  - name: db
    address: {socket_address: {address: 127.0.0.1, port_value: `+fmt.Sprint(envoytest.FreePort(t))+`}}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: "outbound|80||db.default.svc.cluster.local;"
          cluster: x
`)

	var node *corev3.Node
	select {
	case req := <-nodes:
		node = req.GetNode()
	case <-time.After(time.Minute):
		t.Fatal("Envoy did not ask for its configuration")
	}
	if node.GetId() != "sidecar~10.4.0.7~reviews-v1-5.default~default.svc.cluster.local" || node.GetCluster() != "reviews.default" {
		t.Errorf("node %s, cluster %s", node.GetId(), node.GetCluster())
	}
	if got := node.GetMetadata().GetFields()["LABELS"].GetStructValue().GetFields()["version"].GetStringValue(); got != "v1" {
		t.Errorf("label version %q", got)
	}
	// The agent has the metrics, and gives those of Envoy.
	agent, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", c.Proxy.StatusPort))
	if err != nil {
		t.Fatal(err)
	}
	status := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == telemetry.MetricsPath {
			_, _ = io.WriteString(w, get(t, c.Proxy.AdminPort, "/stats/prometheus", http.StatusOK))
		}
	})}
	go func() { _ = status.Serve(agent) }()
	metrics := get(t, c.PrometheusPort, "/stats/prometheus", http.StatusOK)
	_ = status.Close()
	for _, want := range []string{
		`envoy_cluster_upstream_cx_total{cluster_name="xds-grpc"}`,
		`envoy_listener_downstream_cx_active{listener_address="0.0.0.0_`,
		`envoy_listener_manager_lds_update_success{} 1`,
		`envoy_cluster_membership_total{cluster_name="outbound|80|v1|reviews.default.svc.cluster.local"} 0`,
		`envoy_cluster_http2_streams_active{cluster_name="xds-grpc"} 1`,
		`envoy_http_downstream_rq_total{http_conn_manager_prefix="outbound_0.0.0.0_80"} 0`,
		`envoy_cluster_upstream_rq{response_code_class="2xx",cluster_name="xds-grpc"} 1`,
		`envoy_http_downstream_rq{response_code_class="2xx",http_conn_manager_prefix="agent"} 0`,
		`envoy_tcp_downstream_cx_total{tcp_prefix="outbound|80||db.default.svc.cluster.local"} 0`,
		`envoy_listener_http_downstream_rq{response_code_class="2xx",http_conn_manager_listener_prefix="outbound_0.0.0.0_80",listener_address="127.0.0.1_`,
	} {
		if !strings.Contains(metrics, want) {
			name, _, _ := strings.Cut(want, "{")
			t.Errorf("metrics lack %s", want)
			for line := range strings.Lines(metrics) {
				if strings.HasPrefix(line, name+"{") {
					t.Log(line)
				}
			}
		}
	}
	// Nothing listens on the agent's status port: Envoy says so instead of refusing.
	get(t, c.HealthPort, "/healthz/ready", http.StatusServiceUnavailable)
	get(t, c.HealthPort, "/other", http.StatusNotFound)
	if got := get(t, c.Proxy.AdminPort, "/server_info", http.StatusOK); !strings.Contains(got, `"state": "LIVE"`) {
		t.Errorf("server_info: %s", got)
	}
}

// What statistics an Envoy has beside those that are always kept, a pod's annotations say, and which parts of their names
// become labels.
func TestStatisticsByAnnotations(t *testing.T) {
	const listener = "http.custom.zone=.=a;.;x."
	for name, tc := range map[string]struct {
		annotations   map[string]string
		kept, missing []string
	}{
		"nothing said": {nil, []string{"server.live", "cluster_manager.active_clusters", listener + "downstream_cx_active"}, []string{listener + "downstream_rq_total", "cluster.backend"}},
		"prefixes": {
			map[string]string{"sidecar.istio.io/statsInclusionPrefixes": "http.custom,cluster.none"},
			[]string{"server.live", listener + "downstream_rq_total"},
			[]string{"cluster.backend", `zone="a"`},
		},
		"suffixes": {
			map[string]string{"sidecar.istio.io/statsInclusionSuffixes": "membership_total"},
			[]string{"cluster.backend.membership_total"},
			[]string{"cluster.backend.membership_healthy", listener + "downstream_rq_total"},
		},
		"expressions": {
			map[string]string{"sidecar.istio.io/statsInclusionRegexps": `cluster\.back.*_healthy`},
			[]string{"cluster.backend.membership_healthy"},
			[]string{"cluster.backend.membership_total"},
		},
		"labels": {
			map[string]string{"sidecar.istio.io/statsInclusionPrefixes": "http.custom", "sidecar.istio.io/extraStatTags": "zone"},
			[]string{`zone="a"`},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := sidecar(t)
			c.Node.Annotations = tc.annotations
			path := written(t, &c)
			envoytest.ServeADS(t, c.XDSSocket, &envoytest.ADS{})
			start(t, path, `
static_resources:
  clusters:
  - {name: backend, type: STATIC, connect_timeout: 1s}
  listeners:
  - name: custom
    address: {socket_address: {address: 127.0.0.1, port_value: `+fmt.Sprint(envoytest.FreePort(t))+`}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/`+hcmType+`
          stat_prefix: "custom.zone=.=a;.;x"
          route_config: {}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`)
			stats := get(t, c.Proxy.AdminPort, "/stats", http.StatusOK) + get(t, c.Proxy.AdminPort, "/stats/prometheus", http.StatusOK)
			for _, want := range tc.kept {
				if !strings.Contains(stats, want) {
					t.Errorf("there is no %s", want)
				}
			}
			for _, other := range tc.missing {
				if strings.Contains(stats, other) {
					t.Errorf("there is %s", other)
				}
			}
		})
	}
}

// A gateway whose memory is used up answers 503 instead of being ended by the kernel, and still says that it
// lives. One whose memory is enough answers.
func TestGatewayTurnsAwayBeforeItsMemoryEnds(t *testing.T) {
	for limit, serves := range map[int64]bool{1 << 20: false, 1 << 30: true} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			c := router(t)
			c.Node.IPs, c.MemoryLimit, c.StateOfTheWorld = []string{"10.4.0.9"}, limit, false
			path := written(t, &c)
			envoytest.ServeADS(t, c.XDSSocket, &envoytest.ADS{})
			port := envoytest.FreePort(t)
			start(t, path, `
static_resources:
  listeners:
  - name: callers
    address: {socket_address: {address: 127.0.0.1, port_value: `+fmt.Sprint(port)+`}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/`+hcmType+`
          stat_prefix: callers
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`)
			get(t, c.HealthPort, "/other", http.StatusNotFound) // it runs, whatever its heap
			if serves {
				get(t, port, "/", http.StatusOK)
				return
			}
			for until := time.Now().Add(time.Minute); !turnedAway(t, port); {
				if time.Now().After(until) {
					t.Fatal("it answers whatever its heap")
				}
			}
			get(t, c.HealthPort, "/other", http.StatusNotFound)
		})
	}
}

// turnedAway tells whether a request is answered by 503 or its connection closed, not refused by the kernel.
func turnedAway(t *testing.T, port int) bool {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", port), nil)
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	}
	res.Body.Close()
	return res.StatusCode == http.StatusServiceUnavailable
}

func start(t *testing.T, path, override string) {
	t.Helper()
	cmd := exec.Command(envoytest.Path(t), "--disable-hot-restart", "--concurrency", "1", "-l", "warning", "-c", path, "--config-yaml", override)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// get asks until the wanted status comes, for the port opens some time after the start.
func get(t *testing.T, port int, path string, status int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
		res, err := client.Do(req)
		if err == nil {
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode == status {
				return string(body)
			}
			err = fmt.Errorf("status %d: %s", res.StatusCode, body)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s at %d: %v", path, port, err)
		case <-tick.C:
		}
	}
}
