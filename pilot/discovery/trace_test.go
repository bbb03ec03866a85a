package discovery

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/trace"
	"github.com/pilothouse-mesh/pilothouse/pilot/trace/otlp"
	realcollector "github.com/pilothouse-mesh/pilothouse/test/collector"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// collector takes spans by gRPC, as a collector of OpenTelemetry does.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []*tracev1.Span
}

func (c *collector) Export(_ context.Context, r *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range r.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			c.spans = append(c.spans, ss.GetSpans()...)
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

// change gives the spans of the change of an object, by name, once all are there; nil before.
func (c *collector) change(object string) map[string]*tracev1.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, root := range c.spans {
		if root.GetName() != "change" || !strings.Contains(attributes(root.GetAttributes())["pilothouse.change.objects"], object) {
			continue
		}
		out := map[string]*tracev1.Span{"change": root}
		for _, s := range c.spans {
			if string(s.GetParentSpanId()) == string(root.GetSpanId()) {
				out[s.GetName()] = s
			}
		}
		return out
	}
	return nil
}

func attributes(of []*commonv1.KeyValue) map[string]string {
	out := map[string]string{}
	for _, kv := range of {
		v := kv.GetValue()
		switch {
		case v.GetArrayValue() != nil:
			var all []string
			for _, one := range v.GetArrayValue().GetValues() {
				all = append(all, one.GetStringValue())
			}
			out[kv.GetKey()] = strings.Join(all, " ")
		case v.GetStringValue() != "":
			out[kv.GetKey()] = v.GetStringValue()
		default:
			out[kv.GetKey()] = fmt.Sprint(v.GetIntValue())
		}
	}
	return out
}

// traced runs a control plane whose spans go to a collector, and gives both. by puts another one between, by which it
// is reached; nil for none.
func traced(t *testing.T, dir string, by func(port int) int) (Config, *collector) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got, server := &collector{}, grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(server, got)
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	port := lis.Addr().(*net.TCPAddr).Port
	if by != nil {
		port = by(port)
	}
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": fmt.Sprint("http://127.0.0.1:", port), "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_BSP_SCHEDULE_DELAY": "20"}
	for name, value := range env {
		t.Setenv(name, value)
	}
	spans, err := otlp.FromEnvironment(func(name string) string { return env[name] }, otlp.Options{Name: "istiod-0", Version: "test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t, dir)
	cfg.Changes = trace.New(trace.Options{Deliver: spans.Deliver})
	t.Cleanup(func() {
		cfg.Changes.Close()
		if err := spans.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	serve(t, func(ctx context.Context) error { return Run(ctx, cfg) })
	envoytest.Eventually(t, "ready", func() bool {
		code, _ := get(t, "http://"+cfg.HTTPAddr+"/ready")
		return code == http.StatusOK
	})
	// The roots come by a commit of their own, with which later ones would be merged.
	envoytest.Eventually(t, "the roots are in effect", func() bool { return got.change("TrustBundle") != nil })
	return cfg, got
}

// proxy asks for clusters, takes the first ones, and after that refuses or takes all that come.
func proxy(t *testing.T, addr, name string, refuses bool) {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	node := &corev3.Node{Id: "sidecar~10.0.0.1~" + name + ".default~default.svc.cluster.local"}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: xdsres.Clusters.URL()}); err != nil {
		t.Fatal(err)
	}
	receive(t, stream)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			answer := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()}
			if refuses && len(r.GetResources()) > 0 {
				answer.ErrorDetail = &rpcstatus.Status{Message: "Error adding/updating cluster(s) " + r.GetResources()[0].GetName() + ": it is bad"}
			}
			if stream.Send(answer) != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		conn.Close()
	})
}

func TestAChangeIsOneTrace(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", fmt.Sprintf(service, "first", 1)+pod)
	cfg, got := traced(t, dir, nil)
	for i := range 10 {
		proxy(t, cfg.GRPCAddr, fmt.Sprint("pod-", i), false)
	}
	write(t, dir, "b.yaml", fmt.Sprintf(service, "second", 2))
	var spans map[string]*tracev1.Span
	envoytest.Eventually(t, "a trace", func() bool { spans = got.change("second"); return len(spans) == 6 })
	root := spans["change"]
	for name, s := range spans {
		if string(s.GetTraceId()) != string(root.GetTraceId()) || s.GetStartTimeUnixNano() < root.GetStartTimeUnixNano() ||
			s.GetEndTimeUnixNano() > root.GetEndTimeUnixNano() || s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			t.Errorf("%s is not within the change: %v", name, s)
		}
	}
	for name, want := range map[string]map[string]string{
		"change":      {"pilothouse.change.kinds": "Service", "pilothouse.change.namespaces": "default", "pilothouse.change.count": "1"},
		"debounce":    {},
		"commit":      {},
		"build":       {},
		"push":        {"pilothouse.clients.told": "10"},
		"acknowledge": {"pilothouse.clients": "10", "pilothouse.clients.taken": "10", "pilothouse.clients.refused": "0", "pilothouse.clients.gone": "0"},
	} {
		has := attributes(spans[name].GetAttributes())
		for k, v := range want {
			if has[k] != v {
				t.Errorf("%s has %s = %q, want %q", name, k, has[k], v)
			}
		}
	}
	if n := attributes(spans["build"].GetAttributes())["pilothouse.units.computed"]; n == "" || n == "0" {
		t.Errorf("%q units were computed", n)
	}
	if n := len(spans["acknowledge"].GetEvents()); n != 5 {
		t.Errorf("%d proxies are named, want the 5 last", n)
	}
}

func TestARefusalIsSeenInItsTrace(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", fmt.Sprintf(service, "first", 1)+pod)
	cfg, got := traced(t, dir, nil)
	proxy(t, cfg.GRPCAddr, "good", false)
	proxy(t, cfg.GRPCAddr, "bad", true)
	write(t, dir, "b.yaml", fmt.Sprintf(service, "second", 2))
	var spans map[string]*tracev1.Span
	envoytest.Eventually(t, "a trace", func() bool { spans = got.change("second"); return len(spans) == 6 })
	acks := spans["acknowledge"]
	if has := attributes(acks.GetAttributes()); has["pilothouse.clients"] != "2" || has["pilothouse.clients.taken"] != "1" || has["pilothouse.clients.refused"] != "1" {
		t.Errorf("acknowledgements are %v", has)
	}
	refusals := 0
	for _, e := range acks.GetEvents() {
		if has := attributes(e.GetAttributes()); e.GetName() == "refused" {
			refusals++
			if has["pilothouse.proxy"] != "bad.default" || !strings.Contains(has["pilothouse.error"], "it is bad") || has["pilothouse.type"] == "" {
				t.Errorf("a refusal is %v", has)
			}
		}
	}
	if code := tracev1.Status_STATUS_CODE_ERROR; refusals != 1 || acks.GetStatus().GetCode() != code || spans["change"].GetStatus().GetCode() != code {
		t.Errorf("%d refusals, status %v and %v", refusals, acks.GetStatus(), spans["change"].GetStatus())
	}
}

const broken = `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: broken, namespace: default}
spec:
  configPatches:
  - applyTo: CLUSTER
    match: {cluster: {service: first.default.svc.cluster.local}}
    patch: {operation: MERGE, value: {connect_timeout: 5s, upstream_bind_config: {source_address: {address: nowhere, port_value: 0}}}}
`

// A real Envoy, and a real collector: a change is a trace that ends when the Envoy runs it, and one that it refuses has
// its words.
func TestAChangeOfARealEnvoyAtARealCollector(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", fmt.Sprintf(service, "first", 1)+pod)
	cfg, got := traced(t, dir, func(port int) int { return realcollector.Start(t, port).GRPC })
	gate := envoytest.NewGate(t, cfg.GRPCAddr, envoytest.NewSecrets(t))
	envoy := envoytest.Run(t, envoytest.Config{Gate: gate, Node: "sidecar~10.0.0.1~first-0.default~default.svc.cluster.local", Apart: true})
	envoytest.Eventually(t, "the Envoy runs", envoy.Live)

	write(t, dir, "b.yaml", fmt.Sprintf(service, "second", 2))
	var spans map[string]*tracev1.Span
	envoytest.Eventually(t, "a trace", func() bool { spans = got.change("second"); return len(spans) == 6 })
	if !strings.Contains(envoy.Get("/clusters"), "outbound|80||second.default.svc.cluster.local") {
		t.Error("the change is acknowledged, and the Envoy does not have it")
	}
	acks := spans["acknowledge"]
	if has := attributes(acks.GetAttributes()); has["pilothouse.clients"] != "1" || has["pilothouse.clients.taken"] != "1" || has["pilothouse.clients.refused"] != "0" {
		t.Errorf("acknowledgements are %v", has)
	}
	if e := acks.GetEvents(); len(e) != 1 || e[0].GetName() != "taken" || attributes(e[0].GetAttributes())["pilothouse.proxy"] != "first-0.default" ||
		e[0].GetTimeUnixNano() < spans["push"].GetStartTimeUnixNano() || e[0].GetTimeUnixNano() > spans["change"].GetEndTimeUnixNano() {
		t.Errorf("who took it: %v", e)
	}
	order := []string{"debounce", "commit", "build", "push"}
	for i, name := range order[1:] {
		if spans[name].GetStartTimeUnixNano() < spans[order[i]].GetEndTimeUnixNano() {
			t.Errorf("%s begins before %s ends", name, order[i])
		}
	}

	write(t, dir, "c.yaml", broken)
	envoytest.Eventually(t, "a trace of the refusal", func() bool { spans = got.change("broken"); return len(spans) == 6 })
	refused := ""
	for _, e := range spans["acknowledge"].GetEvents() {
		if e.GetName() == "refused" {
			refused = attributes(e.GetAttributes())["pilothouse.error"]
		}
	}
	if !strings.Contains(refused, "nowhere") || spans["change"].GetStatus().GetCode() != tracev1.Status_STATUS_CODE_ERROR {
		t.Errorf("the refusal says %q, the status is %v", refused, spans["change"].GetStatus())
	}
}
