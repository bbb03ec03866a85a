package translate

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/agent/connections"
	"github.com/pilothouse-mesh/pilothouse/agent/status"
	agenttap "github.com/pilothouse-mesh/pilothouse/agent/tap"
	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// hop is an Envoy on the way of a request, as it runs beside an agent.
type hop struct {
	t        *testing.T
	workload telemetry.Workload
	admin    int
	pid      int
	servers  *served
	counted  *connections.Counter
	log      string // the file that has what it writes
}

// hopConfig says which of a translation's listeners serve, on which ports of loopback, and where clusters
// lead: to a port of loopback, or else to a server of HTTP.
type hopConfig struct {
	res       Resources
	workload  telemetry.Workload
	listeners map[string][]int
	clusters  map[string]int             // noHost for a cluster without hosts
	own       map[string]int             // clusters of the bootstrap, which speak HTTP/2
	secrets   string                     // socket
	tap       string                     // socket, "" for one of its own
	edit      func(*listenerv3.Listener) // nil for none
	lead      func(*clusterv3.Cluster)   // says anew where a cluster leads, nil for not
	evict     time.Duration              // how often idle series go; 0 for never
}

// noHost is in the place of a port.
const noHost = -1

func startHop(t *testing.T, c hopConfig) *hop {
	t.Helper()
	h := &hop{t: t, workload: c.workload, admin: envoytest.FreePort(t), servers: &served{t: t, requests: make(chan answer, 1000)}}
	if c.tap == "" {
		c.tap = filepath.Join(t.TempDir(), "TAP")
		h.counted = connections.New(connections.Config{MaxOpen: 100, MaxSeries: 100, Now: time.Now})
		runTap(t, agenttap.Config{SocketPath: c.tap, Connections: h.counted})
	}
	b := &bootstrapv3.Bootstrap{
		Node: &core.Node{Id: "test", Cluster: c.workload.App + ".default"}, Admin: &bootstrapv3.Admin{Address: address(h.admin)},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{},
		StatsConfig: &metricsv3.StatsConfig{HistogramBucketSettings: []*metricsv3.HistogramBucketSettings{{
			Match:   &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: telemetry.Scope + "."}},
			Buckets: telemetry.HistogramBuckets(), Bins: wrapperspb.UInt32(telemetry.HistogramBins),
		}}},
	}
	for _, l := range inlined(t, c.res) {
		if ports, ok := c.listeners[l.Name]; ok {
			l.Address, l.BindToPort = address(ports[0]), nil
			if c.edit != nil {
				c.edit(l)
			}
			for _, port := range ports[1:] {
				l.AdditionalAddresses = append(l.AdditionalAddresses, &listenerv3.AdditionalAddress{Address: address(port)})
			}
			b.StaticResources.Listeners = append(b.StaticResources.Listeners, l)
		}
	}
	if len(b.StaticResources.Listeners) != len(c.listeners) {
		t.Fatalf("not all of the listeners %v are there", c.listeners)
	}
	for _, r := range c.res.ByType["clusters"] {
		cl := r.Body.(*clusterv3.Cluster)
		port, given := c.clusters[cl.Name]
		if !given {
			port = h.servers.httpServer(cl.Name)
		}
		static := staticCluster(cl, port)
		static.TransportSocket, static.TransportSocketMatches, static.Metadata = cl.TransportSocket, cl.TransportSocketMatches, cl.Metadata
		if !given {
			static.TransportSocket = nil
		}
		if port == noHost {
			static.LoadAssignment.Endpoints = nil
			b.StaticResources.Clusters = append(b.StaticResources.Clusters, static)
			continue
		}
		static.LoadAssignment.Endpoints[0].LbEndpoints[0].Metadata = endpointMetadata(c.res, cl.Name)
		if c.lead != nil {
			c.lead(static)
		}
		b.StaticResources.Clusters = append(b.StaticResources.Clusters, static)
	}
	sds := staticCluster(&clusterv3.Cluster{Name: "sds-grpc"}, 1)
	sds.LoadAssignment.Endpoints[0].LbEndpoints[0].GetEndpoint().Address = &core.Address{
		Address: &core.Address_Pipe{Pipe: &core.Pipe{Path: c.secrets}},
	}
	sds.TypedExtensionProtocolOptions = http2Cluster()
	b.StaticResources.Clusters = append(b.StaticResources.Clusters, sds)
	for name, port := range c.own {
		static := staticCluster(&clusterv3.Cluster{Name: name}, port)
		static.TypedExtensionProtocolOptions = http2Cluster()
		b.StaticResources.Clusters = append(b.StaticResources.Clusters, static)
	}
	tap := proto.Clone(sds).(*clusterv3.Cluster)
	tap.Name, tap.LoadAssignment.ClusterName = telemetry.TapCluster, telemetry.TapCluster
	tap.LoadAssignment.Endpoints[0].LbEndpoints[0].GetEndpoint().GetAddress().GetPipe().Path = c.tap
	b.StaticResources.Clusters = append(b.StaticResources.Clusters, tap)
	b.LayeredRuntime = &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name: "admin", LayerSpecifier: &bootstrapv3.RuntimeLayer_AdminLayer_{AdminLayer: &bootstrapv3.RuntimeLayer_AdminLayer{}},
	}}}
	if c.evict > 0 {
		b.StatsFlushInterval = durationpb.New(c.evict)
		b.StatsEviction = &bootstrapv3.Bootstrap_StatsEvictionInterval{StatsEvictionInterval: durationpb.New(c.evict)}
	}
	h.run(b)
	return h
}

// endpointMetadata gives what the control plane says of the first endpoint of a cluster.
func endpointMetadata(res Resources, cluster string) *core.Metadata {
	for _, r := range res.ByType["endpoints"] {
		a := r.Body.(*endpointv3.ClusterLoadAssignment)
		if a.ClusterName == cluster && len(a.Endpoints) > 0 {
			return proto.Clone(a.Endpoints[0].LbEndpoints[0].Metadata).(*core.Metadata)
		}
	}
	return nil
}

// http2Cluster gives the options of a cluster that speaks HTTP/2.
func http2Cluster() map[string]*anypb.Any {
	return envoy.Cluster(&ir.Cluster{HTTP: ir.HTTPUpstream{Version: ir.UpstreamHTTP2}}).TypedExtensionProtocolOptions
}

func (h *hop) run(b *bootstrapv3.Bootstrap) {
	peer, err := h.workload.PeerEnvironment()
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, envoytest.Path(h.t), "--disable-hot-restart", "--concurrency", "1", "-l", "warn", "--file-flush-interval-msec", "100", "-c", writeBootstrap(h.t, b))
	cmd.Env = os.Environ()
	for name, value := range peer {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	for name, value := range h.workload.TraceEnvironment("cluster.local") {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, telemetry.ResourceVariable+"="+telemetry.ResourceAttributes(os.Getenv(telemetry.ResourceVariable), os.Getenv(telemetry.ServiceVariable), h.workload.App+".default"),
		telemetry.DatadogVariable+"="+h.workload.App+".default")
	h.log = filepath.Join(h.t.TempDir(), "log")
	log, err := os.Create(h.log)
	if err != nil {
		h.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.pid = cmd.Process.Pid
	h.t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if text, err := os.ReadFile(h.log); err == nil && h.t.Failed() {
			h.t.Log(h.workload.Name, string(text))
		}
		log.Close()
	})
	awaitReady(h.t, "http://127.0.0.1:"+strconv.Itoa(h.admin)+"/ready")
}

// page gives the metrics as the agent serves them.
func (h *hop) page() string {
	var out strings.Builder
	h.scrape(&out)
	return out.String()
}

// scrape writes that page.
func (h *hop) scrape(to io.Writer) {
	s := status.New(status.Config{
		Metrics: status.MetricsConfig{
			EnvoyURL: fmt.Sprintf("http://127.0.0.1:%d/stats/prometheus", h.admin), Workload: h.workload, Connections: h.counted,
		},
		Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
	s.Handler().ServeHTTP(pageWriter{Writer: to, header: http.Header{}}, httptest.NewRequest(http.MethodGet, "/stats/prometheus", nil))
}

// pageWriter is an answer of which only the body counts.
type pageWriter struct {
	io.Writer
	header http.Header
}

func (w pageWriter) Header() http.Header { return w.header }
func (pageWriter) WriteHeader(int)       {}

// metrics gives Istio's of the names: the value by name and sorted labels.
func (h *hop) metrics(names ...string) map[string]string {
	h.t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(h.page()) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), "{")
		if !slices.Contains(names, name) {
			continue
		}
		labels, value, _ := strings.Cut(rest, "} ")
		sorted := strings.SplitAfter(labels, `",`) // values may have commas
		for i, label := range sorted {
			sorted[i] = strings.TrimSuffix(label, ",")
		}
		slices.Sort(sorted)
		out[name+" "+strings.Join(sorted, " ")] = value
	}
	return out
}

// want waits until the metrics of the names are these, without order: name{labels} value.
func (h *hop) want(names []string, want map[string]string) {
	h.t.Helper()
	sorted := map[string]string{}
	for series, value := range want {
		name, labels, _ := strings.Cut(series, " ")
		parts := strings.Fields(labels)
		slices.Sort(parts)
		sorted[name+" "+strings.Join(parts, " ")] = value
	}
	var got map[string]string
	defer func() {
		if !maps.Equal(got, sorted) {
			h.t.Errorf("metrics of %s (-want +got):\n%s", h.workload.Name, strings.Join(difference(sorted, got), "\n"))
		}
	}()
	// Envoy counts a request a little after its client has the answer.
	envoytest.Eventually(h.t, "the metrics of "+h.workload.Name+" as wanted", func() bool {
		got = h.metrics(names...)
		return maps.Equal(got, sorted)
	})
}

// difference gives the series of either that the other has not with this value.
func difference(want, got map[string]string) []string {
	var out []string
	for series, value := range want {
		if got[series] != value {
			out = append(out, "- "+series+" "+value)
		}
	}
	for series, value := range got {
		if want[series] != value {
			out = append(out, "+ "+series+" "+value)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(a[2:], b[2:]) })
	return out
}
