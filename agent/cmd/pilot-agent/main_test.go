package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pilothouse-mesh/pilothouse/agent"
	"github.com/pilothouse-mesh/pilothouse/agent/envoy"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func run(t *testing.T, environ []string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newRootCommand(args, environ, nil)
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want int
	}{
		{errors.New("x"), 1},
		{&usage.Error{Err: errors.New("x")}, 2},
		{fmt.Errorf("x: %w", &envoy.ExitError{Code: 3}), 3},
		{&envoy.ExitError{Signal: syscall.SIGKILL}, 137},
		{&envoy.ExitError{}, 1},
	} {
		if got := exitCode(tc.err); got != tc.want {
			t.Errorf("%v: %d, want %d", tc.err, got, tc.want)
		}
	}
	for _, args := range [][]string{
		{"proxy", "waypoint"},
		{"proxy", "sidecar", "x"},
		{"request", "GET"},
		{"wait", "--nonsense"},
		{"wait", "--periodMillis", "0"},
		{"version", "-o", "xml"},
		{"foo"},
		{"help", "foo"},
		{"help", "proxy", "sidecar"},
		{"completion", "nope"},
		{"completion", "bash", "nope"},
		{"istio-iptables", "x"},
	} {
		if _, err := run(t, nil, args...); err == nil || exitCode(err) != 2 {
			t.Errorf("%v: %v, want exit code 2", args, err)
		}
	}
	for _, args := range [][]string{nil, {"help"}, {"help", "proxy"}, {"completion"}, {"completion", "bash"}} {
		if out, err := run(t, nil, args...); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

func TestUnknownFlagsAreToldAndIgnored(t *testing.T) {
	out, err := run(t, []string{"DISABLE_ENVOY=true"}, "proxy", "sidecar", "--trust-domain=td", "--tokenManagerPlugin", "x", "--domain", "d", "--root", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "DISABLE_ENVOY") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(out, "--trust-domain") || !strings.Contains(out, "--tokenManagerPlugin") || strings.Contains(out, "flag=--domain") {
		t.Errorf("log:\n%s", out)
	}
}

// write puts the pod's files under a root.
func write(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func config(t *testing.T, root, kind string, f proxyFlags, env map[string]string) (agent.Config, error) {
	t.Helper()
	f.root = root
	if f.meshConfig == "" {
		f.meshConfig = "etc/istio/config/mesh"
	}
	if f.concurrency == 0 {
		f.concurrency = -1
	}
	return newConfig(kind, f, env, slog.New(slog.DiscardHandler))
}

func TestConfigFromPod(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		"etc/istio/config/mesh":     "defaultConfig: {discoveryAddress: 'mesh:15012', terminationDrainDuration: 9s}",
		"etc/istio/pod/labels":      "app=\"reviews\"\n",
		"etc/istio/pod/annotations": "proxy.istio.io/config=\"proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true', MINIMUM_DRAIN_DURATION: 3s}\"\nsidecar.istio.io/discoveryAddress=\"istiod-x.ns.svc:15012\"\nstatus.sidecar.istio.io/port=\"15999\"\n",
		"override.yaml":             "stats_flush_interval: 60s",
	})
	cfg, err := config(t, root, "sidecar", proxyFlags{}, map[string]string{
		"INSTANCE_IP": "10.1.2.3,fd00::3", "POD_NAME": "p", "POD_NAMESPACE": "ns", "SERVICE_ACCOUNT": "sa",
		"PROXY_CONFIG": "{}", "ISTIO_CPU_LIMIT": "3", "ISTIO_META_CLUSTER_ID": "c1", "CA_HEADER_X": "y",
		"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true", "ISTIO_BOOTSTRAP_OVERRIDE": filepath.Join(root, "override.yaml"),
		"ISTIO_KUBE_APP_PROBERS":       `{"/app-health/a/livez":{"tcpSocket":{"port":1}},"/app-health/b/livez":{}}`,
		"ISTIO_PROMETHEUS_ANNOTATIONS": `{"scrape":"true","port":"9080"}`, "WORKLOAD_RSA_KEY_SIZE": "2048",
	})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Proxy.DiscoveryAddress != "istiod-x.ns.svc:15012" || cfg.Proxy.StatusPort != 15999 {
		t.Errorf("proxy config %+v", cfg.Proxy)
	}
	if cfg.Node.ID() != "sidecar~10.1.2.3~p.ns~ns.svc.cluster.local" || cfg.Node.IPs[1] != "fd00::3" || cfg.Node.Labels["app"] != "reviews" {
		t.Errorf("node %+v", cfg.Node)
	}
	if d := cfg.Envoy.Drain; d.Wait != 9*time.Second || !d.UntilIdle || d.Minimum != 3*time.Second || !d.InboundOnly {
		t.Errorf("drain %+v", d)
	}
	if cfg.Envoy.Concurrency != 3 || cfg.Envoy.Override != "stats_flush_interval: 60s" || cfg.Envoy.StateOfTheWorld {
		t.Errorf("envoy %+v", cfg.Envoy)
	}
	if cfg.DNS == nil || cfg.DNS.ForwardTimeout != 5*time.Second {
		t.Errorf("DNS %+v", cfg.DNS)
	}
	tr := cfg.Trust
	if tr.ClusterID != "c1" || tr.CAHeaders["X"] != "y" || tr.RSAKeyBits != 2048 || tr.CertTTL != 24*time.Hour ||
		tr.XDSRoot != filepath.Join(root, "var/run/secrets/istio/root-cert.pem") || tr.TrustDomain != "cluster.local" {
		t.Errorf("trust %+v", tr)
	}
	if len(cfg.Probers) != 1 || !slices.Equal(cfg.AppMetrics, []string{"http://localhost:9080/metrics"}) {
		t.Errorf("probers %v, application metrics %q", cfg.Probers, cfg.AppMetrics)
	}
	if tr.Mounted != nil || tr.OutputDir != "" || cfg.Proxy.Bootstrap != "" {
		t.Errorf("what nobody asked for: %+v", cfg)
	}
}

// TestCertificatesFromFiles says where the workload's certificate comes from when it is in the pod.
func TestCertificatesFromFiles(t *testing.T) {
	root := t.TempDir()
	cfg, err := config(t, root, "sidecar", proxyFlags{}, map[string]string{
		"FILE_MOUNTED_CERTS": "true", "ISTIO_META_TLS_CLIENT_KEY": "/k.pem", "PROV_CERT": "/prov", "OUTPUT_CERTS": "/out", "PKCS8_KEY": "true",
	})
	if err != nil {
		t.Fatal(err)
	}
	tr := cfg.Trust
	if tr.Mounted == nil || tr.Mounted.Key != "/k.pem" || tr.Mounted.Cert != filepath.Join(root, "etc/certs/cert-chain.pem") ||
		tr.ProvisionedDir != "/prov" || tr.OutputDir != "/out" {
		t.Errorf("trust %+v, mounted %+v", tr, tr.Mounted)
	}
	dir := "var/run/secrets/workload-spiffe-credentials/"
	write(t, root, map[string]string{dir + "cert-chain.pem": "", dir + "key.pem": "", dir + "root-cert.pem": ""})
	if cfg, err = config(t, root, "sidecar", proxyFlags{}, nil); err != nil || cfg.Trust.Mounted == nil {
		t.Errorf("the platform's certificate is not taken: %+v, %v", cfg.Trust, err)
	}
}

// TestRootOfTrust says where the control plane's root is looked for.
func TestRootOfTrust(t *testing.T) {
	root := t.TempDir()
	for want, env := range map[string]map[string]string{
		root + "/var/run/secrets/istio/root-cert.pem":                 {"PILOT_CERT_PROVIDER": "istiod"},
		root + "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt": {"PILOT_CERT_PROVIDER": "kubernetes"},
		"SYSTEM":              {"PILOT_CERT_PROVIDER": "none"},
		"/prov/root-cert.pem": {"PROV_CERT": "/prov"},
		"/mounted.pem":        {"FILE_MOUNTED_CERTS": "true", "ISTIO_META_TLS_CLIENT_ROOT_CERT": "/mounted.pem"},
		"/mine.pem":           {"XDS_ROOT_CA": "/mine.pem", "CA_ROOT_CA": "/mine.pem", "PROV_CERT": "/prov"},
	} {
		cfg, err := config(t, root, "sidecar", proxyFlags{}, env)
		if err != nil || cfg.Trust.XDSRoot != want || cfg.Trust.CARoot != want {
			t.Errorf("%v: %s and %s, want %s (%v)", env, cfg.Trust.XDSRoot, cfg.Trust.CARoot, want, err)
		}
	}
	write(t, root, map[string]string{"etc/certs/root-cert.pem": ""})
	if cfg, err := config(t, root, "sidecar", proxyFlags{}, nil); err != nil || cfg.Trust.XDSRoot != root+"/etc/certs/root-cert.pem" {
		t.Errorf("a machine's root is not taken: %s, %v", cfg.Trust.XDSRoot, err)
	}
}

// TestWithoutEffectIsTold says that what Istio's agent would act on, and this one does not, is reported.
func TestWithoutEffectIsTold(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{"etc/istio/pod/annotations": "sidecar.istio.io/statsHistogramBins=\"5\"\n" +
		"readiness.status.sidecar.istio.io/applicationPorts=\"80\"\nambient.istio.io/dns-capture=\"true\"\nstatus.sidecar.istio.io/port=\"0\"\n"})
	var logs bytes.Buffer
	f := proxyFlags{root: root, stsPort: 15463, meshConfig: "none", concurrency: -1, logAsJSON: true, templateFile: "/tmpl.json"}
	cfg, err := newConfig("sidecar", f, map[string]string{
		"GRPC_XDS_BOOTSTRAP": "/x.json", "ISTIO_BOOTSTRAP": "/own.json", "PROXY_CONFIG": "tracing: {lightstep: {address: 'x:1'}}",
		"ENVOY_SECURE_MERGED_METRICS_PORT": "15092",
	}, newLogger(&logs, "default:info", true))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--stsPort", "GRPC_XDS_BOOTSTRAP", "tracing.lightstep", "statsHistogramBins", "applicationPorts", "ambient.istio.io/dns-capture", `"level":"error"`} {
		if !strings.Contains(logs.String(), want) {
			t.Errorf("%s is not told:\n%s", want, &logs)
		}
	}
	if cfg.Proxy.Bootstrap != "/own.json" || cfg.Proxy.StatusPort != 15020 || !cfg.Envoy.LogAsJSON || !cfg.NoProfiling || cfg.Envoy.SecureMergedMetricsPort != 15092 || cfg.DebugPort != 15004 {
		t.Errorf("config %+v, proxy %+v", cfg, cfg.Proxy)
	}
}

func TestGatewayHasNoDNSAndDrainsAll(t *testing.T) {
	cfg, err := config(t, t.TempDir(), "router", proxyFlags{concurrency: 7, domain: "d", serviceCluster: "gw"}, map[string]string{
		"ISTIO_META_DNS_CAPTURE": "true", "ISTIO_DELTA_XDS": "false", "XDS_ROOT_CA": "SYSTEM",
		"PROXY_XDS_DEBUG_VIA_AGENT": "false",
	})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.DNS != nil || cfg.Envoy.Drain.InboundOnly || cfg.Envoy.Concurrency != 7 || !cfg.Envoy.StateOfTheWorld ||
		cfg.Proxy.ServiceCluster != "gw" || cfg.Trust.XDSRoot != "SYSTEM" || cfg.DebugPort != 0 {
		t.Errorf("config %+v", cfg)
	}
}

func TestBadVariablesAreAllTold(t *testing.T) {
	_, err := config(t, t.TempDir(), "sidecar", proxyFlags{}, map[string]string{
		"SECRET_TTL": "1 day", "ISTIO_CPU_LIMIT": "x", "SECRET_GRACE_PERIOD_RATIO": "2", "EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "maybe",
	})
	for _, name := range []string{"SECRET_TTL", "ISTIO_CPU_LIMIT", "SECRET_GRACE_PERIOD_RATIO", "EXIT_ON_ZERO_ACTIVE_CONNECTIONS"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
	for name, files := range map[string]map[string]string{
		"PROXY_CONFIG":             nil,
		"ISTIO_BOOTSTRAP_OVERRIDE": nil,
		"labels":                   {"etc/istio/pod/labels": "x"},
		"annotations":              {"etc/istio/pod/annotations": "x"},
		"status.sidecar.istio.io":  {"etc/istio/pod/annotations": "status.sidecar.istio.io/port=\"x\""},
		"mesh":                     {"etc/istio/config/mesh": "defaultConfig: 3"},
	} {
		root := t.TempDir()
		write(t, root, files)
		env := map[string]string{}
		if files == nil {
			env[name] = "{nowhere"
		}
		if _, err := config(t, root, "sidecar", proxyFlags{}, env); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestWait(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked < 3 {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	}))
	defer s.Close()
	if out, err := run(t, nil, "wait", "--url", s.URL, "--periodMillis", "1"); err != nil || asked != 3 {
		t.Errorf("%d requests: %v %s", asked, err, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := waitReady(ctx, s.URL, time.Millisecond, time.Second); err == nil {
		t.Error("an ended context waits on")
	}
}

func TestRequest(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/bad" {
			w.WriteHeader(404)
		}
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL, body)
	}))
	defer s.Close()
	port := s.URL[strings.LastIndex(s.URL, ":")+1:]
	if out, err := run(t, nil, "request", "post", "logging?level=debug", "b", "--debug-port", port); err != nil || out != "POST /logging?level=debug b" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := run(t, nil, "request", "GET", "/bad", "--debug-port", port); err == nil || !strings.Contains(out, "GET /bad") {
		t.Errorf("%q, %v", out, err)
	}
	// Istio's metrics are not read where Envoy has them in a form of its own.
	for path, want := range map[string]string{
		"stats/prometheus": "GET /stats/prometheus ", "/stats/prometheus?usedonly": "GET /stats/prometheus?usedonly ",
	} {
		if out, err := run(t, []string{prometheusPort + "=" + port}, "request", "GET", path); err != nil || out != want {
			t.Errorf("%s: %q, %v, want %q", path, out, err, want)
		}
	}
	if got := requestURL(adminPort, 15090, "stats?format=prometheus"); got != "http://localhost:15000/stats?format=prometheus" {
		t.Errorf("other pages are asked of %s", got)
	}
	if _, err := run(t, []string{prometheusPort + "=x"}, "request", "GET", "stats/prometheus"); err == nil {
		t.Error("a port that is none is taken")
	}
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"version", "--short"}, {"version", "-o", "json"}} {
		if out, err := run(t, nil, args...); err != nil || !strings.Contains(out, version) {
			t.Errorf("%v: %q, %v", args, out, err)
		}
	}
}

func TestInstanceIPs(t *testing.T) {
	got, err := instanceIPs("10.0.0.1", "")
	if err != nil || got[0] != "10.0.0.1" || slices.Contains(got, "127.0.0.1") {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzEnvironment(f *testing.F) {
	f.Add("PROXY_CONFIG", "discoveryAddress: x:1", "SECRET_TTL", "1h")
	f.Add("ISTIO_KUBE_APP_PROBERS", "{}", "ISTIO_META_DNS_CAPTURE", "true")
	root := f.TempDir()
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string) {
		cfg, err := config(t, root, "sidecar", proxyFlags{}, environment([]string{n1 + "=" + v1, n2 + "=" + v2}))
		if err == nil && cfg.Proxy == nil {
			t.Fatal("neither a config nor an error")
		}
	})
}
