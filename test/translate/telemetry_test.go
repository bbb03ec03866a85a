package translate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
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
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
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
	peer, err := h.workload.PeerHeaderValue()
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, envoytest.Path(h.t), "--disable-hot-restart", "--concurrency", "1", "-l", "warn", "--file-flush-interval-msec", "100", "-c", writeBootstrap(h.t, b))
	cmd.Env = append(os.Environ(), telemetry.PeerVariable+"="+peer)
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
	s := status.New(status.Config{
		Metrics: status.MetricsConfig{
			EnvoyURL: fmt.Sprintf("http://127.0.0.1:%d/stats/prometheus", h.admin), Workload: h.workload, Connections: h.counted,
		},
		Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/stats/prometheus", nil))
	return rec.Body.String()
}

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

// The metrics whose values do not depend on time.
var (
	metricRequests = []string{"istio_requests_total", "istio_request_duration_milliseconds_count", "istio_request_bytes_count", "istio_response_bytes_count"}
	metricMessages = []string{"istio_request_messages_total", "istio_response_messages_total"}
	metricTCP      = []string{
		"istio_tcp_connections_opened_total", "istio_tcp_connections_closed_total", "istio_tcp_sent_bytes_total", "istio_tcp_received_bytes_total",
	}
)

const twoHopsYAML = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {clusterIP: 10.96.0.2, selector: {app: reviews}, ports: [{name: http, port: 9080, targetPort: %[1]d}, {name: tcp, port: 9081, targetPort: %[2]d}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: reviews-v1-0
  namespace: default
  labels: {app: reviews, version: v1, pod-template-hash: 6d4b5c7f9d, security.istio.io/tlsMode: istio}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: reviews-v1-6d4b5c7f9d, uid: x, controller: true}]
spec: {serviceAccountName: test, containers: [{name: app, image: x}]}
status: {podIP: 10.0.1.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
`

// oftenYAML has open connections told every tenth of a second.
const oftenYAML = `
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: often, namespace: istio-system}
spec: {metrics: [{reportingInterval: 0.1s}]}
`

// metered is two sidecars with mutual TLS between productpage and reviews.
type metered struct {
	out, in *hop
	raw     int // where the client's takes connections to reviews' port of TCP
}

// startMetered runs them, with lines of the mesh's configuration and objects that are about them. Servers of the test's
// own are by cluster, or "app" for reviews' own of HTTP.
func startMetered(t *testing.T, mesh, objects string, servers map[string]int) metered {
	t.Helper()
	httpPort, tcpPort := envoytest.FreePort(t), envoytest.FreePort(t)
	input := strings.Replace(fmt.Sprintf(twoHopsYAML, httpPort, tcpPort), `{mode: REGISTRY_ONLY}`, `{mode: REGISTRY_ONLY}\n`+mesh, 1) + objects
	gate := envoytest.NewGate(t, "", envoytest.NewSecrets(t))
	workload := func(name string, labels map[string]string) telemetry.Workload {
		w := telemetry.WorkloadOf(name, "default", "Kubernetes", labels)
		w.Principal = "spiffe://cluster.local/ns/default/sa/test"
		return w
	}
	labels := map[string]string{"app": "reviews", "version": "v1"}
	in := hopConfig{
		res:       translate(t, input, Proxy{Name: "reviews-v1-0", Labels: labels, IPs: []string{"10.0.1.1"}}),
		workload:  workload("reviews-v1", labels),
		listeners: map[string][]int{model.VirtualInboundListener: {httpPort, tcpPort}},
		clusters:  map[string]int{fmt.Sprintf("inbound|%d||", tcpPort): echo(t)},
		secrets:   gate.Socket,
	}
	client, raw := envoytest.FreePort(t), envoytest.FreePort(t)
	labels = map[string]string{"app": "productpage"}
	out := hopConfig{
		res:       translate(t, input, Proxy{Labels: labels}),
		workload:  workload("productpage-v1", labels),
		listeners: map[string][]int{"0.0.0.0_9080": {client}, "10.96.0.2_9081": {raw}},
		clusters:  map[string]int{outbound("", "reviews"): httpPort, "outbound|9081||reviews.default.svc.cluster.local": tcpPort},
		secrets:   gate.Socket,
	}
	for name, port := range servers {
		if name == "app" {
			in.clusters[fmt.Sprintf("inbound|%d||", httpPort)] = port
		} else {
			in.clusters[name], out.clusters[name] = port, port
		}
	}
	m := metered{startHop(t, out), startHop(t, in), raw}
	m.out.servers.addr = "127.0.0.1:" + strconv.Itoa(client)
	return m
}

// What two sidecars report of the same requests and connections over mutual TLS has Istio's names, labels
// and values on both sides; a workload does not see who its caller's proxy is.
func TestMetricsOverTwoHops(t *testing.T) {
	m := startMetered(t, `accessLogFile: /dev/stdout`, oftenYAML, nil)
	outbound, inbound, raw := m.out, m.in, m.raw
	header := http.Header{telemetry.PeerHeader: {"forged"}, telemetry.PeerIDHeader: {"forged"}}
	for path, code := range map[string]int{"/": 200, "/fail": 503} {
		res, _ := outbound.servers.get(t, "reviews:9080", path, header.Clone())
		if seen := <-inbound.servers.requests; res.StatusCode != code || len(seen.Header.Values(telemetry.PeerHeader))+len(seen.Header.Values(telemetry.PeerIDHeader)) > 0 {
			t.Errorf("%s: status %d, the workload saw %v", path, res.StatusCode, seen.Header)
		}
	}
	if res, _ := outbound.servers.get(t, "nowhere.example.com", "/", nil); res.StatusCode != 502 {
		t.Errorf("an unknown host gets %d", res.StatusCode)
	}
	call := http.Header{"Content-Type": {"application/grpc"}}
	outbound.servers.send(t, http.MethodPost, "reviews:9080", "/p.S/Call", call, bytes.NewReader(make([]byte, 5)))

	const (
		sourceWorkload      = ` source_workload="productpage-v1" source_workload_namespace="default" source_canonical_service="productpage" source_canonical_revision="latest" source_cluster="Kubernetes" source_app="productpage" source_version="unknown"`
		destinationWorkload = ` destination_workload="reviews-v1" destination_workload_namespace="default" destination_canonical_service="reviews" destination_canonical_revision="v1" destination_cluster="Kubernetes" destination_app="reviews" destination_version="v1" destination_service="reviews.default.svc.cluster.local" destination_service_name="reviews" destination_service_namespace="default"`
		principals          = ` source_principal="spiffe://cluster.local/ns/default/sa/test" destination_principal="spiffe://cluster.local/ns/default/sa/test"`
		known               = sourceWorkload + destinationWorkload + principals
		source              = ` reporter="source" connection_security_policy="unknown"`
		destination         = ` reporter="destination" connection_security_policy="mutual_tls"`
		unknown             = ` destination_workload="unknown" destination_workload_namespace="unknown" destination_canonical_service="unknown" destination_canonical_revision="latest" destination_cluster="unknown" destination_app="unknown" destination_version="unknown" destination_service="unknown" destination_service_name="BlackHoleCluster" destination_service_namespace="unknown" source_principal="unknown" destination_principal="unknown"`
	)
	ok := known + ` request_protocol="http" response_code="200" response_flags="-"`
	failed := known + ` request_protocol="http" response_code="503" response_flags="-"`
	called := known + ` request_protocol="grpc" response_code="200" response_flags="-" grpc_response_status="0"`
	dropped := sourceWorkload + unknown + ` request_protocol="http" response_code="502" response_flags="-"`
	each := func(names []string, value string, series ...string) map[string]string {
		out := map[string]string{}
		for _, name := range names {
			for _, s := range series {
				out[name+s] = value
			}
		}
		return out
	}
	outbound.want(metricRequests, each(metricRequests, "1", source+ok, source+failed, source+called, source+dropped))
	inbound.want(metricRequests, each(metricRequests, "1", destination+ok, destination+failed, destination+called))
	messages := func(side string) map[string]string {
		return map[string]string{metricMessages[0] + side + called: "1", metricMessages[1] + side + called: "0"}
	}
	outbound.want(metricMessages, messages(source))
	inbound.want(metricMessages, messages(destination))

	conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(raw))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	// A connection says of its client only what the certificate proves.
	const proven = ` source_workload="unknown" source_workload_namespace="default" source_canonical_service="unknown" source_canonical_revision="latest" source_cluster="unknown" source_app="unknown" source_version="unknown"`
	const tcp = ` request_protocol="tcp" response_flags="-"`
	sides := map[*hop]string{outbound: source + known + tcp, inbound: destination + proven + destinationWorkload + principals + tcp}
	for h, labels := range sides { // while it is open
		open := each(metricTCP[:1], "1", labels)
		maps.Copy(open, each(metricTCP[2:], "5", labels))
		h.want(metricTCP, open)
	}
	if _, err := io.WriteString(conn, "more"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	for h, labels := range sides {
		closed := each(metricTCP[:2], "1", labels)
		maps.Copy(closed, each(metricTCP[2:], "9", labels))
		h.want(metricTCP, closed)
	}
	for h := range sides {
		h.wantTypes()
	}
	var logged []byte
	envoytest.Eventually(t, "the connection in the access log", func() bool {
		logged, err = os.ReadFile(outbound.log)
		return err == nil && bytes.Contains(logged, []byte("outbound|9081||"))
	})
	if n := bytes.Count(logged, []byte("outbound|9081||")); n != 1 {
		t.Errorf("the connection is logged %d times:\n%s", n, logged)
	}
}

// echo answers connections with what they send.
func echo(t *testing.T) int {
	return rawServer(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
}
