package translate

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	realcollector "github.com/pilothouse-mesh/pilothouse/test/collector"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

const tracingYAML = `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: collector, namespace: default}
spec: {hosts: [collector.example], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 9000, name: %[1]s, protocol: %[1]s}], endpoints: [{address: 10.9.9.9}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders: [{name: spans, %[2]s}]
    defaultProviders: {tracing: [spans]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: tags, namespace: default}
spec:
  tracing:
  - randomSamplingPercentage: %[3]d
    %[4]s
    customTags:
      literal: {literal: {value: here}}
      header: {header: {name: x-user, defaultValue: nobody}}
      variable: {environment: {name: TRACE_TEST_UNSET, defaultValue: unset}}
`

// hopTraces says how a mesh makes spans.
type hopTraces struct {
	protocol, provider string // of the collector
	sampling           int    // percent
	more               string // a line of the Telemetry object, "" for none
	real               bool   // a collector of OpenTelemetry's stands before the test's own
}

// tracedHops runs a client's and a server's Envoy, which send their spans to a collector.
func tracedHops(t *testing.T, m hopTraces) (*collector, *hop, *hop) {
	t.Helper()
	c, httpPort := startCollector(t), envoytest.FreePort(t)
	to := c.port
	if m.real {
		by := realcollector.Start(t, c.port)
		to = map[string]int{"GRPC": by.GRPC, "HTTP": by.HTTP}[m.protocol]
	}
	services, _, _ := strings.Cut(fmt.Sprintf(twoHopsYAML, httpPort, httpPort), "---\napiVersion: v1\nkind: ConfigMap")
	input := services + fmt.Sprintf(tracingYAML, m.protocol, m.provider, m.sampling, m.more)
	gate := envoytest.NewGate(t, "", envoytest.NewSecrets(t))
	collectors := "outbound|9000||collector.example"
	labels := map[string]string{"app": "reviews", "version": "v1"}
	inbound := startHop(t, hopConfig{
		res:       translate(t, input, Proxy{Name: "reviews-v1-0", Labels: labels, IPs: []string{"10.0.1.1"}}),
		workload:  telemetry.WorkloadOf("reviews-v1", "default", "Kubernetes", labels),
		listeners: map[string][]int{model.VirtualInboundListener: {httpPort}},
		clusters:  map[string]int{collectors: to},
		secrets:   gate.Socket,
	})
	client := envoytest.FreePort(t)
	labels = map[string]string{"app": "productpage"}
	out := startHop(t, hopConfig{
		res:       translate(t, input, Proxy{Labels: labels}),
		workload:  telemetry.WorkloadOf("productpage-v1", "default", "Kubernetes", labels),
		listeners: map[string][]int{"0.0.0.0_9080": {client}},
		clusters:  map[string]int{outbound("", "reviews"): httpPort, collectors: to},
		secrets:   gate.Socket,
	})
	out.servers.addr = "127.0.0.1:" + strconv.Itoa(client)
	return c, out, inbound
}

// The spans of two proxies are one trace, by each provider, with Istio's names and tags.
func TestTracesJoinOverTwoHops(t *testing.T) {
	for _, tc := range []struct {
		name, protocol, provider string
		b3, real                 bool
	}{
		{"otlp over gRPC", "GRPC", "opentelemetry: {service: collector.example, port: 9000}", false, false},
		{"otlp over gRPC by a real collector", "GRPC", "opentelemetry: {service: collector.example, port: 9000}", false, true},
		{"otlp over HTTP by a real collector", "HTTP", "opentelemetry: {service: collector.example, port: 9000, http: {path: /v1/traces}}", false, true},
		{"otlp over HTTP", "HTTP", "opentelemetry: {service: default/collector.example, port: 9000, http: {path: /v1/traces, headers: [{name: x-token, value: 100% secret}]}}", false, false},
		{"otlp over HTTP with a token from the environment", "HTTP", "opentelemetry: {service: collector.example, port: 9000, http: {path: /v1/traces, headers: [{name: x-token, envName: COLLECTOR_TOKEN}]}, dynatraceSampler: {tenant: a, clusterId: 7}}", false, false},
		{"otlp over gRPC with a token from the environment", "GRPC", "opentelemetry: {service: collector.example, port: 9000, grpc: {initialMetadata: [{name: x-token, envName: COLLECTOR_KEY}]}}", false, false},
		{"zipkin", "HTTP", "zipkin: {service: collector.example, port: 9000}", true, false},
		{"zipkin with a timeout and a token from the environment", "HTTP", "zipkin: {service: collector.example, port: 9000, headers: [{name: x-token, envName: COLLECTOR_TOKEN}], timeout: 3s, traceContextOption: USE_B3_WITH_W3C_PROPAGATION}", true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, client, inbound := tracedHops(t, hopTraces{protocol: tc.protocol, provider: tc.provider, sampling: 100, real: tc.real})
			sent := strings.Repeat("ab", 16)
			header := http.Header{"X-User": {"alice"}, "Traceparent": {"00-" + sent + "-00f067aa0ba902b7-01"}}
			if tc.b3 {
				header = http.Header{"X-User": {"alice"}, "X-B3-Traceid": {sent}, "X-B3-Spanid": {"00f067aa0ba902b7"}, "X-B3-Sampled": {"1"}}
			}
			client.servers.get(t, "reviews:9080", "/", header)
			<-inbound.servers.requests
			first, second := c.await(sent)
			if first.parent != "00f067aa0ba902b7" || second.parent != first.id {
				t.Errorf("the spans do not join: %+v, %+v", first, second)
			}
			c.mu.Lock()
			token := c.token
			c.mu.Unlock()
			want := map[string]string{"COLLECTOR_KEY}": "a secret", "COLLECTOR_TOKEN}": "100% secret", "value: 100% secret}": "100% secret"}
			for part, value := range want {
				if strings.Contains(tc.provider, part) && token != value {
					t.Errorf("the collector was sent the token %q", token)
				}
			}
			const operation = "reviews.default.svc.cluster.local:9080/*"
			if first.name != operation || second.name != operation || first.service != "productpage.default" || second.service != "reviews.default" {
				t.Errorf("names of spans: %s of %s, %s of %s", first.name, first.service, second.name, second.service)
			}
			for tag, want := range map[string]string{
				"literal": "here", "header": "alice", "variable": "unset", "istio.canonical_service": "productpage", "istio.canonical_revision": "latest",
				"istio.namespace": "default", "istio.cluster_id": "Kubernetes", "istio.mesh_id": "cluster.local", "http.status_code": "200",
			} {
				if first.tags[tag] != want {
					t.Errorf("tag %s is %q, want %q", tag, first.tags[tag], want)
				}
			}
		})
	}
}

// Of requests that nobody has decided about as many are traced as is asked for: none, or all. What a client
// has decided holds, by headers and by the request's ID. Where the ID is not to count, Envoy decides nothing, so all
// requests are traced that no client's headers are against. The last request is traced in any case, so that nothing is
// waited for that does not come.
func TestSamplingIsWhatIsAskedFor(t *testing.T) {
	for _, tc := range []struct {
		percent int
		more    string
		want    int
	}{
		{0, "", 2}, {0, "useRequestIdForTraceSampling: false", 7}, {100, "", 7},
	} {
		t.Run(strconv.Itoa(tc.percent)+tc.more, func(t *testing.T) {
			c, client, inbound := tracedHops(t, hopTraces{protocol: "HTTP", provider: "zipkin: {service: collector.example, port: 9000}", sampling: tc.percent, more: tc.more})
			sent := strings.Repeat("ab", 16)
			for range 5 {
				client.servers.get(t, "reviews:9080", "/", nil)
				<-inbound.servers.requests
			}
			const sampled = "00000000-0000-9000-8000-000000000000" // says so by its 13th digit, a 9
			for _, header := range []http.Header{{"X-Request-Id": {sampled}}, {"X-B3-Traceid": {sent}, "X-B3-Spanid": {"00f067aa0ba902b7"}, "X-B3-Sampled": {"1"}}} {
				client.servers.get(t, "reviews:9080", "/", header)
				<-inbound.servers.requests
			}
			c.await(sent)
			traces := func() int {
				c.mu.Lock()
				defer c.mu.Unlock()
				seen := map[string]bool{}
				for _, s := range c.spans {
					seen[s.trace] = true
				}
				return len(seen)
			}
			envoytest.Eventually(t, fmt.Sprint(tc.want, " traces"), func() bool { return traces() >= tc.want })
			if n := traces(); n != tc.want {
				t.Errorf("%d traces, want %d", n, tc.want)
			}
		})
	}
}

// A proxy that is not to hand on the trace leaves the headers of requests as they are, and makes spans all the same.
func TestAContextThatIsNotHandedOn(t *testing.T) {
	c, client, inbound := tracedHops(t, hopTraces{protocol: "HTTP", provider: "zipkin: {service: collector.example, port: 9000}", sampling: 100, more: "disableContextPropagation: true"})
	client.servers.get(t, "reviews:9080", "/", nil)
	if got := (<-inbound.servers.requests).Header; got.Get("X-B3-Traceid") != "" {
		t.Errorf("the workload is told of the trace: %v", got)
	}
	first, second := c.awaitServices()
	if first.trace == second.trace {
		t.Errorf("both spans are of the trace %s", first.trace)
	}
}

const tracedGatewayYAML = `
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec: {hosts: ["*"], gateways: [gateway], http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: trial, namespace: default, annotations: {istio.io/dry-run: "true"}}
spec: {action: DENY, selector: {matchLabels: {istio: ingressgateway}}, rules: [{to: [{operation: {paths: [/tried]}}]}]}
`

// A gateway makes a span of what it receives, and one below it of what it sends. Both say what a policy on trial would
// have done.
func TestGatewaysTellWhatTheySendFromWhatTheyReceive(t *testing.T) {
	c := startCollector(t)
	services, _, _ := strings.Cut(fmt.Sprintf(twoHopsYAML, 8080, 8081), "---\napiVersion: v1\nkind: ConfigMap")
	input := services + fmt.Sprintf(tracingYAML, "GRPC", "opentelemetry: {service: collector.example, port: 9000}", 100, "") + tracedGatewayYAML
	labels := map[string]string{"istio": "ingressgateway"}
	gate := envoytest.NewGate(t, "", envoytest.NewSecrets(t))
	port := envoytest.FreePort(t)
	gateway := startHop(t, hopConfig{
		res:       translate(t, input, Proxy{Type: model.RouterProxy, Labels: labels}),
		workload:  telemetry.WorkloadOf("gateway", "default", "Kubernetes", labels),
		listeners: map[string][]int{"0.0.0.0_80": {port}},
		clusters:  map[string]int{"outbound|9000||collector.example": c.port},
		secrets:   gate.Socket,
	})
	gateway.servers.addr = "127.0.0.1:" + strconv.Itoa(port)
	sent := strings.Repeat("cd", 16)
	gateway.servers.get(t, "a.example", "/tried", http.Header{"Traceparent": {"00-" + sent + "-00f067aa0ba902b7-01"}})
	<-gateway.servers.requests
	below, above := c.await(sent)
	if above.parent != "00f067aa0ba902b7" || below.parent != above.id {
		t.Errorf("the spans do not join: %+v, %+v", above, below)
	}
	for name, want := range map[string]string{"istio.authorization.dry_run.deny_policy.name": "ns[default]-policy[trial]-rule[0]", "istio.authorization.dry_run.deny_policy.result": "denied"} {
		if got := above.tags[name]; got != want {
			t.Errorf("tag %s is %q, want %q", name, got, want)
		}
	}
}
