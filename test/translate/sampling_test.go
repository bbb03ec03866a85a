package translate

import (
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

const (
	zipkinProvider = "zipkin: {service: collector.example, port: 9000}"
	otlpProvider   = "opentelemetry: {service: collector.example, port: 9000, http: {path: /v1/traces}}"
)

// tracesOf gives the traces that have a span of a kind, by their IDs.
func (c *collector) tracesOf(kind string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := map[string]bool{}
	for _, s := range c.spans {
		if s.kind == kind {
			seen[s.trace] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// awaitTraces forces one more request to be traced, and waits for its spans. A proxy reports spans in order, so that by
// then what else it traced is there or on its way, which has to be exactly these traces.
func (c *collector) awaitTraces(client, inbound *hop, want []string) {
	c.t.Helper()
	client.servers.get(c.t, "reviews:9080", "/", http.Header{"X-Client-Trace-Id": {"last"}})
	last, sampled := traceOf((<-inbound.servers.requests).Header)
	if !sampled {
		c.t.Fatalf("the last trace, %q, is not sampled", last)
	}
	want = append(slices.Clone(want), last)
	slices.Sort(want)
	for _, kind := range []string{"CLIENT", "SERVER"} {
		var got []string
		defer func() {
			if c.t.Failed() {
				c.t.Logf("%s: %d traces, want %d", kind, len(got), len(want))
			}
		}()
		envoytest.Eventually(c.t, "a span of the last trace and of all others, of kind "+kind, func() bool {
			got = c.tracesOf(kind)
			return slices.Contains(got, last) && len(got) >= len(want)
		})
		if !slices.Equal(got, want) {
			c.t.Errorf("%s: traces %v, want %v", kind, got, want)
		}
	}
}

// traceOf gives the trace that a workload is told of, and whether it is sampled.
func traceOf(h http.Header) (trace string, sampled bool) {
	trace, sampled = h.Get("X-B3-Traceid"), h.Get("X-B3-Sampled") == "1"
	if parts := strings.Split(h.Get("Traceparent"), "-"); len(parts) == 4 {
		trace, sampled = parts[1], parts[3] == "01"
	}
	if parts := strings.Split(h.Get("B3"), "-"); len(parts) >= 3 { // which stays in the form that it came in
		trace, sampled = parts[0], parts[2] == "1"
	}
	return trace, sampled
}

// A share of the requests is traced, about as large as was asked for: with these bounds, of six standard deviations,
// chance alone fails one run of 500 million. Each of those has a span of either proxy, and the others have none.
func TestAShareIsTraced(t *testing.T) {
	const n, percent = 2000, 25
	c, client, inbound := tracedHops(t, hopTraces{protocol: "HTTP", provider: zipkinProvider, sampling: percent})
	traced := []string{}
	for range n { // by one connection
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+client.servers.addr+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "reviews:9080"
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		// The workload is told of the decision, whatever it is.
		switch h := (<-inbound.servers.requests).Header; h.Get("X-B3-Sampled") {
		case "1":
			traced = append(traced, h.Get("X-B3-Traceid"))
		case "0":
		default:
			t.Fatalf("the workload is told nothing: %v", h)
		}
	}
	const share = percent / 100.0
	if sigma := math.Sqrt(n * share * (1 - share)); math.Abs(float64(len(traced))-n*share) > 6*sigma {
		t.Errorf("%d of %d requests are traced, want %.0f ± %.0f", len(traced), n, n*share, 6*sigma)
	}
	c.awaitTraces(client, inbound, traced)
}

// What a caller has decided holds, in each form in which it is told; so does what a client forces. A request that nobody
// has decided about goes by the share. Envoy's tracer for OpenTelemetry makes no span, though, of a request whose caller
// has one, where the share is against it, unless the request's ID is not to count; the one for Zipkin does.
func TestACallersDecisionHolds(t *testing.T) {
	id := func(n int) string { return fmt.Sprintf("a%031x", n+1) }
	const parent = "00f067aa0ba902b7"
	w3c := func(flags string) func(int) http.Header {
		return func(n int) http.Header {
			return http.Header{"Traceparent": {"00-" + id(n) + "-" + parent + "-" + flags}}
		}
	}
	b3 := func(sampled string) func(int) http.Header {
		return func(n int) http.Header {
			return http.Header{"X-B3-Traceid": {id(n)}, "X-B3-Spanid": {parent}, "X-B3-Sampled": {sampled}}
		}
	}
	single := func(sampled string) func(int) http.Header {
		return func(n int) http.Header { return http.Header{"B3": {id(n) + "-" + parent + "-" + sampled}} }
	}
	forced := func(int) http.Header { return http.Header{"X-Client-Trace-Id": {"mine"}} }
	alone := func(int) http.Header { return http.Header{} }
	for name, tc := range map[string]struct {
		provider string
		more     string
		sent     []func(int) http.Header
		none     []bool // by what was sent, at a share of 0: is it traced?
		all      []bool // at one of 100
	}{
		"W3C": {otlpProvider, "", []func(int) http.Header{w3c("01"), w3c("00"), alone, forced}, []bool{false, false, false, true}, []bool{true, false, true, true}},
		"B3":  {zipkinProvider, "", []func(int) http.Header{b3("1"), b3("0"), single("1"), single("0"), alone, forced}, []bool{true, false, true, false, false, true}, []bool{true, false, true, false, true, true}},
		"W3C, whatever the request's ID": {
			otlpProvider, "useRequestIdForTraceSampling: false", []func(int) http.Header{w3c("01"), w3c("00"), alone}, []bool{true, false, true}, []bool{true, false, true},
		},
	} {
		for percent, want := range map[int][]bool{0: tc.none, 100: tc.all} {
			t.Run(fmt.Sprint(name, " ", percent), func(t *testing.T) {
				t.Parallel() // Envoy sends its spans every 5 s
				c, client, inbound := tracedHops(t, hopTraces{protocol: "HTTP", provider: tc.provider, sampling: percent, more: tc.more})
				sampled, traced := make([]bool, len(tc.sent)), []string{}
				for i, header := range tc.sent {
					client.servers.get(t, "reviews:9080", "/", header(i))
					h := (<-inbound.servers.requests).Header
					trace, told := traceOf(h)
					sampled[i] = told
					if len(header(i)) > 0 && header(i).Get("X-Client-Trace-Id") == "" && trace != id(i) {
						t.Errorf("request %d goes on in trace %q, not in its caller's: %v", i, trace, h)
					}
					if sampled[i] {
						traced = append(traced, trace)
					}
				}
				if !slices.Equal(sampled, want) {
					t.Errorf("the workload is told %v, want %v", sampled, want)
				}
				c.awaitTraces(client, inbound, traced)
			})
		}
	}
}

// Where a proxy is not to report spans, it makes none, and hands on what a caller says of its trace as it is.
func TestSpansThatAreNotReported(t *testing.T) {
	c, client, inbound := tracedHops(t, hopTraces{
		protocol: "HTTP", provider: zipkinProvider, sampling: 100, more: "disableSpanReporting: true\n    match: {mode: CLIENT}",
	})
	const parent = "00f067aa0ba902b7"
	var sent []string
	for i := range 5 {
		trace := fmt.Sprintf("a%031x", i+1)
		sent = append(sent, trace)
		client.servers.get(t, "reviews:9080", "/", http.Header{"X-B3-Traceid": {trace}, "X-B3-Spanid": {parent}, "X-B3-Sampled": {"1"}})
		<-inbound.servers.requests
	}
	envoytest.Eventually(t, "the server's spans", func() bool { return slices.Equal(c.tracesOf("SERVER"), sent) })
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.kind != "SERVER" || s.parent != parent {
			t.Errorf("a span of the client's proxy, or below one: %+v", s)
		}
	}
}

// Spans say of who made them what the pod's environment says, what injection knows, and what the service is called.
func TestResourcesOfSpans(t *testing.T) {
	t.Setenv(telemetry.ResourceVariable, "deployment.environment.name=test,k8s.pod.name=mine")
	t.Setenv(telemetry.ServiceVariable, "k8s.pod.name=injected,service.namespace=shop")
	c, client, inbound := tracedHops(t, hopTraces{protocol: "HTTP", provider: otlpProvider, sampling: 100})
	client.servers.get(t, "reviews:9080", "/", nil)
	<-inbound.servers.requests
	c.awaitServices()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, service := range []string{"productpage.default", "reviews.default"} {
		for name, want := range map[string]string{
			"service.name": service, "deployment.environment.name": "test", "k8s.pod.name": "mine", "service.namespace": "shop",
		} {
			if got := c.resources[service][name]; got != want {
				t.Errorf("%s says %s=%q, want %q: %v", service, name, got, want, c.resources[service])
			}
		}
	}
}
