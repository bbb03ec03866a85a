package translate

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pilothouse-mesh/pilothouse/bench"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

var dataPlane = flag.Int("dataplane", 100, "how many requests each kind of TestDataPlane is measured with (make dataplane)")

var dataPlaneRows = flag.String("rows", "", "directory of a report of the benchmark that TestDataPlane and TestSeriesAreSmall put their goals into")

// row puts goals of the data plane into that report.
func row(t *testing.T, series string, all ...bench.Goal) {
	t.Helper()
	if *dataPlaneRows == "" {
		return
	}
	r, err := bench.Open(*dataPlaneRows)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBeside(series, all)
	if err := r.Save(*dataPlaneRows); err != nil {
		t.Fatal(err)
	}
}

// dataPlaneConnections is how many connections of HTTP/1.1 the load comes by.
const dataPlaneConnections = 16

// pair is two Envoys with mutual TLS between a load generator and a server.
type pair struct {
	t       *testing.T
	out, in *hop
	client  *http.Client
	secrets *envoytest.Secrets
	inbound int
	took    []time.Duration
}

// startPair runs them with what the control plane gives for a mesh configuration and Telemetry objects.
// Where it is bare, it has the same listeners without all that counts, logs, traces or tells who is who.
func startPair(t *testing.T, more string, bare bool) *pair {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	t.Cleanup(server.Close)
	serverPort := server.Listener.Addr().(*net.TCPAddr).Port
	p := &pair{t: t, inbound: envoytest.FreePort(t), secrets: envoytest.NewSecrets(t)}
	services, _, _ := strings.Cut(fmt.Sprintf(twoHopsYAML, p.inbound, p.inbound), "---\napiVersion: v1\nkind: ConfigMap")
	gate, collector := envoytest.NewGate(t, "", p.secrets), startCollector(t)
	c := hopConfig{secrets: gate.Socket, tap: filepath.Join(t.TempDir(), "nobody")}
	if bare {
		c.edit = withoutTelemetry
	}
	labels := map[string]string{"app": "reviews", "version": "v1"}
	const spans = "outbound|9000||collector.example"
	in, out := c, c
	in.res = translate(t, services+more, Proxy{Name: "reviews-v1-0", Labels: labels, IPs: []string{"10.0.1.1"}})
	in.workload = telemetry.WorkloadOf("reviews-v1", "default", "Kubernetes", labels)
	in.listeners = map[string][]int{model.VirtualInboundListener: {p.inbound}}
	in.clusters = map[string]int{fmt.Sprintf("inbound|%d||", p.inbound): serverPort, spans: collector.port}
	p.in = startHop(t, in)
	client := envoytest.FreePort(t)
	labels = map[string]string{"app": "productpage"}
	out.res = translate(t, services+more, Proxy{Labels: labels})
	out.workload = telemetry.WorkloadOf("productpage-v1", "default", "Kubernetes", labels)
	out.listeners = map[string][]int{"0.0.0.0_9080": {client}}
	out.clusters = map[string]int{outbound("", "reviews"): p.inbound, spans: collector.port}
	p.out = startHop(t, out)
	p.client = &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: dataPlaneConnections, MaxConnsPerHost: dataPlaneConnections,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(client))
		},
	}}
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

// withoutTelemetry leaves a listener's HTTP connection managers with the router alone.
func withoutTelemetry(l *listenerv3.Listener) {
	l.AccessLog = nil
	chains := slices.Clone(l.FilterChains)
	if l.DefaultFilterChain != nil {
		chains = append(chains, l.DefaultFilterChain)
	}
	for _, c := range chains {
		for _, f := range c.Filters {
			var m hcm.HttpConnectionManager
			if f.GetTypedConfig().UnmarshalTo(&m) != nil {
				continue
			}
			m.AccessLog, m.Tracing = nil, nil
			m.HttpFilters = m.HttpFilters[len(m.HttpFilters)-1:]
			if rc := m.GetRouteConfig(); rc != nil {
				rc.RequestHeadersToAdd, rc.RequestHeadersToRemove, rc.ResponseHeadersToRemove = nil, nil, nil
			}
			packed, err := anypb.New(&m)
			if err != nil {
				panic(err) // it was unpacked
			}
			f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed}
		}
	}
}

// load sends n requests by all connections, each of which has to be answered.
func (p *pair) load(n int) {
	p.t.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var group sync.WaitGroup
	took := make([][]time.Duration, dataPlaneConnections)
	for i := range dataPlaneConnections {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				began := time.Now()
				resp, err := p.client.Get("http://reviews:9080/")
				if err != nil {
					p.t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					p.t.Errorf("status %d", resp.StatusCode)
					return
				}
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	group.Wait()
	p.took = slices.Sorted(slices.Values(slices.Concat(took...)))
}

// cpu is the time that both Envoys have run (/proc/PID/task/*/schedstat).
func (p *pair) cpu() time.Duration {
	p.t.Helper()
	sum := time.Duration(0)
	for _, h := range []*hop{p.in, p.out} {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", h.pid))
		if err != nil || len(tasks) == 0 {
			p.t.Fatalf("no threads: %v", err)
		}
		for _, path := range tasks {
			data, err := os.ReadFile(path)
			if err != nil {
				p.t.Fatal(err)
			}
			ran, err := strconv.ParseInt(strings.Fields(string(data))[0], 10, 64)
			if err != nil {
				p.t.Fatal(err)
			}
			sum += time.Duration(ran)
		}
	}
	return sum
}

// dataPlaneKinds are what is measured, beside the floor.
var dataPlaneKinds = []struct {
	name, yaml string
	bare       bool
	most       float64 // of the CPU time to the floor's, 0 where no goal says
}{
	{name: "floor", bare: true, yaml: metricsOff},
	{name: "telemetry off", yaml: metricsOff, most: 1.05},
	{name: "metrics", most: 1.15},
	{name: "metrics and 1 % traces", yaml: fmt.Sprintf(tracingYAML, "GRPC", "opentelemetry: {service: collector.example, port: 9000}", 1, "")},
	{name: "metrics and access log", yaml: `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "accessLogFile: /dev/stdout"}
`},
}

const metricsOff = `
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: quiet, namespace: istio-system}
spec: {metrics: [{overrides: [{disabled: true}]}]}
`

// dataPlaneRounds is in how many parts the requests of each kind come, in turns with those of the others, so that
// a machine that gets slower does so for all of them.
const dataPlaneRounds = 20

// TestDataPlane tells what telemetry costs two Envoys for each request, beside the floor: the same pair with a
// bare configuration. A ratio is the median of the rounds' ratios. As a test of every day it sends few requests,
// and sees only that all are answered.
func TestDataPlane(t *testing.T) {
	each := max(*dataPlane/dataPlaneRounds, 1)
	pairs := make([]*pair, len(dataPlaneKinds))
	for i, kind := range dataPlaneKinds {
		pairs[i] = startPair(t, kind.yaml, kind.bare)
		pairs[i].load(max(*dataPlane/4, dataPlaneConnections)) // connections, and code that has not run yet
	}
	cpu, took := make([][]float64, len(pairs)), make([][]time.Duration, len(pairs))
	for range dataPlaneRounds {
		for i, p := range pairs {
			before := p.cpu()
			p.load(each)
			cpu[i] = append(cpu[i], float64(p.cpu()-before)/float64(time.Microsecond)/float64(each))
			took[i] = append(took[i], p.took...)
		}
	}
	var goals []bench.Goal
	for i, kind := range dataPlaneKinds {
		ratios := make([]float64, dataPlaneRounds)
		for r := range ratios {
			ratios[r] = cpu[i][r] / cpu[0][r]
		}
		slices.Sort(ratios)
		slices.Sort(cpu[i])
		slices.Sort(took[i])
		t.Logf("%s: %.1f µs of Envoys' CPU for each request, %.2f x the floor (%.2f to %.2f); p50 %v, p99 %v", kind.name,
			cpu[i][dataPlaneRounds/2], ratios[dataPlaneRounds/2], ratios[dataPlaneRounds/10], ratios[dataPlaneRounds*9/10],
			took[i][len(took[i])/2].Round(10*time.Microsecond), took[i][len(took[i])*99/100].Round(10*time.Microsecond))
		if kind.most > 0 {
			goals = append(goals, bench.Goal{ID: "P13", What: kind.name + ": CPU time of two Envoys for a request", Unit: "x F", Got: &ratios[dataPlaneRounds/2], Most: kind.most})
		}
	}
	row(t, "data plane", goals...)
}

// TestSeriesAreSmall makes 2,000 series at a server, by requests of 500 workloads, and tells what they cost in
// memory and for a scrape.
func TestSeriesAreSmall(t *testing.T) {
	const peers, each = 500, 4 // requests, durations, and bytes both ways
	p := startPair(t, "", false)
	p.load(dataPlaneConnections)
	before := p.in.allocated()
	certificate := p.secrets.Pair(t)
	client := &http.Client{Transport: &http.Transport{DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		config := &tls.Config{Certificates: []tls.Certificate{certificate}, InsecureSkipVerify: true, NextProtos: []string{"istio-http/1.1"}}
		return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(p.inbound))
	}}}
	defer client.CloseIdleConnections()
	for i := range peers {
		caller := telemetry.WorkloadOf(fmt.Sprintf("caller-%d", i), "default", "Kubernetes", map[string]string{"app": "caller", "version": "v1"})
		caller.Principal = "spiffe://cluster.local/ns/default/sa/test"
		value, err := caller.PeerHeaderValue()
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://reviews:9080/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(telemetry.PeerHeader, value)
		req.Header.Set(telemetry.ShortPeerHeader, caller.ShortPeerValue())
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	names := []string{"istio_requests_total", "istio_request_duration_milliseconds_count", "istio_request_bytes_count", "istio_response_bytes_count"}
	var got map[string]string
	// Envoy makes a new histogram with room for 100 bins in its main thread, and keeps what it needs from the first
	// flush on, which also counts its values. So half of what 2,000 series take at first is gone some seconds later.
	first := p.in.allocated() - before
	envoytest.Eventually(t, "2,000 series, all of them flushed", func() bool {
		got = p.in.metrics(names...)
		return len(got) >= peers*each && !slices.Contains(slices.Collect(maps.Values(got)), "0")
	})
	grown := p.in.allocated() - before
	took := time.Hour
	for range 5 {
		began := time.Now()
		p.in.scrape(io.Discard)
		took = min(took, time.Since(began))
	}
	memory, scrape := float64(grown)/1e6, float64(took)/float64(time.Millisecond)
	row(t, "data plane, 2,000 series",
		bench.Goal{ID: "P13", What: "Envoy's memory for them", Unit: "MB", Got: &memory, Most: 3},
		bench.Goal{ID: "P13", What: "a scrape of them", Unit: "ms", Got: &scrape, Most: 30})
	t.Logf("%d series: %.2f MB of Envoy's memory, %.1f MB at first; a scrape takes %v", len(got), float64(grown)/1e6, float64(first)/1e6, took.Round(100*time.Microsecond))
	if grown > 6<<20 { // the labels are as short as they are meant to be, and histograms as small
		t.Errorf("2,000 series take %d bytes of memory", grown)
	}
}

// allocated gives the bytes of Envoy's heap that are in use.
func (h *hop) allocated() int64 {
	h.t.Helper()
	var memory struct {
		Allocated int64 `json:",string"`
	}
	if err := json.Unmarshal([]byte(h.ask("/memory")), &memory); err != nil {
		h.t.Fatal(err)
	}
	return memory.Allocated
}
