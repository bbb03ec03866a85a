package status

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

var self = telemetry.WorkloadOf("a-v1", "default", "c1", map[string]string{"app": "a", "version": "v1"})

// requestTo gives the label of a request to a cluster as Envoy writes it.
func requestTo(cluster string) string {
	return telemetry.Format(telemetry.Source, "", nil, telemetry.HTTPFields(cluster, "200", "-", "", "", "b-v1;default;b;v1;")...)
}

// envoyPageOf is a page of Envoy's as it is for requests to two subsets of a service.
func envoyPageOf() string {
	v1, v2 := requestTo("outbound|80|v1|b.default.svc.cluster.local"), requestTo("outbound|80|v2|b.default.svc.cluster.local")
	return fmt.Sprintf(`# TYPE envoy_server_live gauge
envoy_server_live{} 1

# TYPE envoy_istio_requests counter
envoy_istio_requests{istio="%[1]s"} 2
envoy_istio_requests{istio="%[2]s"} 3
envoy_istio_requests{istio="%[2]s",path="a\"}\\b"} 1
# TYPE envoy_istio_mine counter
envoy_istio_mine{istio="x"} 1

# TYPE envoy_istio_duration histogram
envoy_istio_duration_bucket{istio="%[1]s",le="0.5"} 0
envoy_istio_duration_bucket{istio="%[1]s",le="+Inf"} 2
envoy_istio_duration_sum{istio="%[1]s"} 7.1
envoy_istio_duration_count{istio="%[1]s"} 2
envoy_istio_duration_bucket{istio="%[2]s",le="0.5"} 1
envoy_istio_duration_bucket{istio="%[2]s",le="+Inf"} 3
envoy_istio_duration_sum{istio="%[2]s"} 3
envoy_istio_duration_count{istio="%[2]s"} 3
`, v1, v2)
}

// What Envoy counts for each subset is one series of Istio's; a user's label stays; what is none of Istio's
// passes; types are right in both formats.
func TestIstioMetrics(t *testing.T) {
	for kind, c := range map[string]struct{ app, family string }{
		textType: {textType, "istio_requests_total"}, openType: {openType, "istio_requests"},
	} {
		s := server(t, func(c2 *Config) {
			c2.Metrics = MetricsConfig{EnvoyURL: page(t, textType, envoyPageOf(), nil), AppURLs: []string{page(t, c.app, "", nil)}, Workload: self}
		})
		_, body := scrape(t, s, http.Header{"Accept": {kind}})
		for _, want := range []string{
			"# TYPE envoy_server_live gauge\nenvoy_server_live{} 1\n# TYPE " + c.family + " counter\nistio_requests_total{reporter=\"source\",source_workload=\"a-v1\",",
			`connection_security_policy="unknown"} 5` + "\n",
			`,path="a\"}\\b"} 1` + "\n# TYPE envoy_istio_mine counter\nenvoy_istio_mine{istio=\"x\"} 1\n# TYPE istio_request_duration_milliseconds histogram\n",
			`,le="0.5"} 1` + "\n", `,le="+Inf"} 5` + "\n", "} 10.1\n", "} 5\n",
		} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: the page lacks %q:\n%s", kind, want, body)
			}
		}
		if n := strings.Count(body, "istio_request_duration_milliseconds_bucket"); n != 2 {
			t.Errorf("%d buckets", n)
		}
	}
}

// Envoy's own listener gives Envoy's metrics without the agent's, and only inside the pod.
func TestEnvoyAlone(t *testing.T) {
	var asked string
	envoy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.RawQuery
		fmt.Fprint(w, envoyPageOf())
	}))
	t.Cleanup(envoy.Close)
	s := server(t, func(c *Config) {
		withAgentMetric(c)
		c.Metrics = MetricsConfig{EnvoyURL: envoy.URL, Workload: self}
	})
	for from, want := range map[string]int{"127.0.0.1:1": http.StatusOK, "10.0.0.1:1": http.StatusForbidden} {
		req := httptest.NewRequest(http.MethodGet, telemetry.MetricsPath+"?usedonly", nil)
		req.RemoteAddr = from
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, req)
		if rec.Code != want {
			t.Errorf("%s gets %d", from, rec.Code)
		}
		if body := rec.Body.String(); want == http.StatusOK && (!strings.Contains(body, "istio_requests_total{") || strings.Contains(body, "istio_agent_") || asked != "usedonly") {
			t.Errorf("query %q, page:\n%s", asked, body)
		}
	}
}

// A page of a hundred thousand lines costs memory for one family at a time.
func BenchmarkIstioMetrics(b *testing.B) {
	var page strings.Builder
	page.WriteString("# TYPE envoy_istio_duration histogram\n")
	for i := range 2000 {
		label := requestTo(fmt.Sprintf("outbound|80||s%d.default.svc.cluster.local", i))
		for le := range 20 {
			fmt.Fprintf(&page, "envoy_istio_duration_bucket{istio=%q,le=\"%d\"} 1\n", label, le)
		}
		fmt.Fprintf(&page, "envoy_istio_duration_sum{istio=%q} 1\nenvoy_istio_duration_count{istio=%q} 1\n", label, label)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := newSection(discard{}).copyEnvoy(strings.NewReader(page.String()), textType, MetricsConfig{Workload: self}, false); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
