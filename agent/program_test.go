package agent

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// program is a pilot-agent as pods run it: the binary, in a process of its own.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	root   string
	ended  chan error
	status int // port of the merged metrics
}

// buildProgram gives the binary, built as `make build` does.
func buildProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pilot-agent")
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", path, "./cmd/pilot-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// startProgram runs one with a control plane that has a listener for its Envoy, a name table and certificates. The
// environment adds to that of a pod.
func startProgram(t *testing.T, binary, envoy string, admin int, environ ...string) *program {
	t.Helper()
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, root: t.TempDir(), status: envoytest.FreePort(t), ended: make(chan error, 1)}
	plane := &controlPlane{t: t, authority: authority, listener: tlsListener(t, envoytest.FreePort(t))}
	for name, text := range map[string]string{
		"etc/istio/pod/labels":                "app=\"reviews\"\n",
		"etc/resolv.conf":                     "nameserver 127.0.0.1\nsearch default.svc.cluster.local\n",
		"var/run/secrets/tokens/istio-token":  bearer,
		"var/run/secrets/istio/root-cert.pem": string(authority.RootPEM()),
		"etc/istio/config/mesh": fmt.Sprintf(`{"defaultConfig":{"statusPort":%d,"proxyAdminPort":%d,"binaryPath":%q,"discoveryAddress":%q,"concurrency":1}}`,
			p.status, admin, envoy, plane.serve()),
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(p.root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(p.root, name), text)
	}
	p.cmd = exec.Command(binary, "proxy", "sidecar", "--root", p.root)
	p.cmd.Env = append([]string{
		"INSTANCE_IP=127.0.0.1", "POD_NAME=reviews-1", "POD_NAMESPACE=default", "SERVICE_ACCOUNT=reviews", "ISTIOD_SAN=istiod.istio-system.svc",
		"ISTIO_META_DNS_CAPTURE=true", "PROXY_XDS_DEBUG_VIA_AGENT=false", "MINIMUM_DRAIN_DURATION=0s",
		fmt.Sprintf("DNS_PROXY_ADDR=127.0.0.1:%d", envoytest.FreePort(t)),
		fmt.Sprintf("ENVOY_STATUS_PORT=%d", envoytest.FreePort(t)), fmt.Sprintf("ENVOY_PROMETHEUS_PORT=%d", envoytest.FreePort(t)),
	}, environ...)
	log := t.Output()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it has ended already where this fails
		<-p.ended
	})
	return p
}

// memory gives what /proc says of the process, in bytes: what it holds, and the most that it has held since forget.
func (p *program) memory() (now, most int) {
	p.t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		if err != nil {
			continue
		}
		switch name {
		case "VmRSS":
			now = kb << 10
		case "VmHWM":
			most = kb << 10
		}
	}
	return now, most
}

// forget lets the kernel begin again with the most that the process has held (proc(5), clear_refs).
func (p *program) forget() {
	p.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0); err != nil {
		p.t.Fatal(err)
	}
}

// scrape reads the merged metrics and gives how many lines they have.
func (p *program) scrape() int {
	p.t.Helper()
	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/stats/prometheus", p.status))
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	lines := 0
	s := bufio.NewScanner(res.Body)
	for s.Scan() {
		lines++
	}
	if err := s.Err(); err != nil || res.StatusCode != http.StatusOK {
		p.t.Fatalf("%s, %v", res.Status, err)
	}
	return lines
}

// callers are how many of them give a page of a hundred thousand lines: a counter and three histograms each, of which
// one has 22 lines.
const callers = 1500

// envoysPage is Envoy's page as protobuf with what it counts of callers, as a server's proxy with many clients has it.
func envoysPage(t *testing.T) string {
	t.Helper()
	buckets := telemetry.HistogramBuckets()
	var labels [callers]string
	for i := range labels {
		peer, err := telemetry.WorkloadOf(fmt.Sprintf("caller-%d", i), "default", "Kubernetes", map[string]string{"app": "caller", "version": "v1"}).PeerHeaderValue()
		if err != nil {
			t.Fatal(err)
		}
		labels[i] = telemetry.Format(telemetry.Destination, "", nil, telemetry.HTTPFields(
			"reviews.default.svc.cluster.local", "200", "-", "", "spiffe://cluster.local/ns/default/sa/"+strconv.Itoa(i), peer)...)
	}
	var page strings.Builder
	for _, name := range []string{telemetry.StatRequests, telemetry.StatDuration, telemetry.StatRequestBytes, telemetry.StatResponseBytes} {
		family := &dto.MetricFamily{Name: proto.String("envoy_" + telemetry.Scope + "_" + name), Type: dto.MetricType_COUNTER.Enum()}
		if name != telemetry.StatRequests {
			family.Type = dto.MetricType_HISTOGRAM.Enum()
		}
		for _, label := range labels {
			m := &dto.Metric{Label: []*dto.LabelPair{{Name: proto.String(telemetry.Label), Value: proto.String(label)}}}
			if name == telemetry.StatRequests {
				m.Counter = &dto.Counter{Value: proto.Float64(7)}
			} else {
				m.Histogram = &dto.Histogram{SampleCount: proto.Uint64(7), SampleSum: proto.Float64(7)}
				for _, bound := range buckets {
					m.Histogram.Bucket = append(m.Histogram.Bucket, &dto.Bucket{CumulativeCount: proto.Uint64(7), UpperBound: proto.Float64(bound)})
				}
			}
			family.Metric = append(family.Metric, m)
		}
		if _, err := protodelim.MarshalTo(&page, family); err != nil {
			t.Fatal(err)
		}
	}
	return page.String()
}

// large serves a page, and an empty one until grown is set.
type large struct {
	page, contentType string
	grown             atomic.Bool
}

// ServeHTTP implements http.Handler.
func (l *large) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", l.contentType)
	if l.grown.Load() {
		_, _ = io.WriteString(w, l.page)
	}
}

// standIn is a program that says that it is an Envoy, and does nothing, at whose admin port the test answers.
func standIn(t *testing.T, admin http.Handler) (path string, port int) {
	t.Helper()
	path, port = filepath.Join(t.TempDir(), "envoy"), envoytest.FreePort(t)
	const script = "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'envoy version: 0/1.40.0/Clean/RELEASE/BoringSSL'; exit; fi\nexec sleep 600\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(admin)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	return path, port
}

// The bounds of goal P10.
const (
	maxResident = 20 << 20
	maxGrowth   = 5 << 20
)

// TestMemory holds the agent to what it may take beside an application: at rest, with a certificate and a program that
// stands for Envoy, and while it merges a hundred thousand lines of metrics, be they the application's or Envoy's.
func TestMemory(t *testing.T) {
	binary := buildProgram(t)
	t.Run("application", func(t *testing.T) {
		page := &large{page: strings.Repeat("an_applications_metric{with=\"a label\",and=\"another\"} 1234567\n", 100_000), contentType: "text/plain"}
		app := httptest.NewServer(page)
		t.Cleanup(app.Close)
		_, port, err := net.SplitHostPort(app.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		envoy, admin := standIn(t, &large{})
		p := startProgram(t, binary, envoy, admin, fmt.Sprintf(`ISTIO_PROMETHEUS_ANNOTATIONS={"scrape":"true","port":%q}`, port))
		p.merge(page)
	})
	t.Run("envoy", func(t *testing.T) {
		page := &large{page: envoysPage(t), contentType: "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"}
		envoy, admin := standIn(t, page)
		p := startProgram(t, binary, envoy, admin)
		p.merge(page)
	})
}

// merge reads the metrics, which are few at first, and then many.
func (p *program) merge(page *large) {
	p.t.Helper()
	await(p.t, p.ended, fmt.Sprintf("http://127.0.0.1:%d/debug/ndsz", p.status))
	p.scrape()
	p.forget()
	before, _ := p.memory()
	page.grown.Store(true)
	for range 5 {
		if n := p.scrape(); n < 100_000 {
			p.t.Fatalf("%d lines", n)
		}
	}
	after, most := p.memory()
	p.t.Logf("%.1f MB at rest, %.1f MB at most while it merges, %.1f MB afterwards", float64(before)/1e6, float64(most)/1e6, float64(after)/1e6)
	if before > maxResident {
		p.t.Errorf("%d bytes are resident", before)
	}
	if most > before+maxGrowth {
		p.t.Errorf("%d bytes more are resident while metrics are merged", most-before)
	}
}
