package status

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// page serves a metrics page of a content type.
func page(t *testing.T, contentType, body string, seen *http.Header) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if seen != nil {
			*seen = r.Header.Clone()
		}
		w.Header().Set("Content-Type", contentType)
		io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

const (
	envoyPage = "# TYPE envoy_server_live gauge\nenvoy_server_live{} 1\n\n"
	textType  = "text/plain; version=0.0.4; charset=utf-8"
	openType  = "application/openmetrics-text; version=1.0.0; charset=utf-8"
)

func scrape(t *testing.T, s *Server, header http.Header) (string, string) {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, "/stats/prometheus", nil)
	req.Header = header
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		t.Fatalf("status %d", rec.Code)
	}
	return rec.Header().Get("Content-Type"), rec.Body.String()
}

func withAgentMetric(c *Config) {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "istio_agent_test", Help: "A test."})
	g.Set(7)
	c.Registry.MustRegister(g)
}

// wantFailure looks for one failure of a part in the agent's own metrics.
func wantFailure(t *testing.T, s *Server, part string) {
	t.Helper()
	families, err := s.cfg.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "istio_agent_scrape_failures_total" && m.GetLabel()[0].GetValue() == part && m.GetCounter().GetValue() == 1 {
				return
			}
		}
	}
	t.Errorf("no failure of %s was counted", part)
}

func TestMergeInOrder(t *testing.T) {
	var envoySaw, appSaw http.Header
	s := server(t, func(c *Config) {
		withAgentMetric(c)
		c.Metrics = MetricsConfig{
			EnvoyURL: page(t, textType, envoyPage, &envoySaw),
			AppURLs:  []string{page(t, textType, "app_total 3", &appSaw)},
		}
	})
	kind, body := scrape(t, s, http.Header{
		"Accept":                              {"application/vnd.google.protobuf;q=0.7,application/openmetrics-text;q=0.6,text/plain;q=0.5"},
		"X-Prometheus-Scrape-Timeout-Seconds": {"7.5"},
	})
	if !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Errorf("content type %q", kind)
	}
	agent, envoy, app := strings.Index(body, "istio_agent_test 7\n"), strings.Index(body, "envoy_server_live{} 1\n"), strings.Index(body, "app_total 3\n")
	if agent < 0 || envoy < agent || app < envoy || strings.Contains(body, "# EOF") {
		t.Errorf("merged page:\n%s", body)
	}
	if got := appSaw.Get("Accept"); strings.Contains(got, "protobuf") || !strings.Contains(got, "openmetrics") {
		t.Errorf("application was asked for %q", got)
	}
	if appSaw.Get("X-Prometheus-Scrape-Timeout-Seconds") != "7.5" {
		t.Error("the scrape's timeout was not given on")
	}
	if got := envoySaw.Get("Accept"); !strings.HasPrefix(got, familyType+",text/plain") {
		t.Errorf("Envoy was asked for %q", got)
	}
}

// TestManyTargets says that all targets are given on in their order, and as text where they differ.
func TestManyTargets(t *testing.T) {
	first, second := page(t, openType, "a_total 1\n# EOF\n", nil), page(t, textType, "b_total 2\n", nil)
	for _, tc := range []struct {
		urls       []string
		kind, want string
	}{
		{[]string{second, first}, "text/plain", "b_total 2\na_total 1\n"},
		{[]string{first, "http://127.0.0.1:1/", first}, "application/openmetrics-text", "a_total 1\na_total 1\n# EOF\n"},
	} {
		s := server(t, func(c *Config) { c.Metrics = MetricsConfig{AppURLs: tc.urls} })
		if kind, body := scrape(t, s, nil); !strings.HasPrefix(kind, tc.kind) || !strings.HasSuffix(body, tc.want) || strings.Count(body, "# EOF") > 1 {
			t.Errorf("%v: %s\n%s", tc.urls, kind, body)
		}
	}
}

func TestOpenMetricsEndsOnce(t *testing.T) {
	s := server(t, func(c *Config) {
		withAgentMetric(c)
		c.Metrics = MetricsConfig{
			EnvoyURL: page(t, textType, envoyPage, nil),
			AppURLs:  []string{page(t, openType, "# TYPE app counter\napp_total 3 # {trace_id=\"x\"} 1\n# EOF\n", nil)},
		}
	})
	kind, body := scrape(t, s, nil)
	if !strings.HasPrefix(kind, "application/openmetrics-text; version=1.0.0") {
		t.Errorf("content type %q", kind)
	}
	if !strings.HasSuffix(body, "1\n# EOF\n") || strings.Count(body, "# EOF") != 1 || strings.Contains(body, "\n\n") {
		t.Errorf("merged page:\n%s", body)
	}
}

func TestFailuresAreOnlyCounted(t *testing.T) {
	dead := httptest.NewServer(http.NotFoundHandler())
	defer dead.Close()
	s := server(t, func(c *Config) {
		withAgentMetric(c)
		c.Metrics = MetricsConfig{EnvoyURL: "http://127.0.0.1:1/", AppURLs: []string{dead.URL}}
	})
	kind, body := scrape(t, s, nil)
	if !strings.HasPrefix(kind, "text/plain") || !strings.Contains(body, "istio_agent_test 7") {
		t.Errorf("%s\n%s", kind, body)
	}
	for _, part := range []string{"envoy", "application"} {
		wantFailure(t, s, part)
	}
}

func TestLongApplicationPageIsCutAtALine(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		line := "app{x=\"" + strings.Repeat("y", 50<<10) + "\"} 1\n"
		for range maxAppMetrics/len(line) + 10 {
			fmt.Fprint(w, line)
		}
	}))
	defer s.Close()
	srv := server(t, func(c *Config) { c.Metrics.AppURLs = []string{s.URL} })
	_, body := scrape(t, srv, nil)
	if len(body) > maxAppMetrics+64<<10 || !strings.HasSuffix(body, "\"} 1\n") {
		t.Errorf("%d bytes, ending in %q", len(body), body[len(body)-10:])
	}
	wantFailure(t, srv, "application")
}

// A page is given on while it comes: its beginning is there before Envoy, or the application, has written its end.
func TestPagesAreStreamed(t *testing.T) {
	for path, first := range map[string]string{"/stats/prometheus": "app_", telemetry.MetricsPath: "envoy_other"} {
		more := make(chan struct{})
		endless := func(name string) string {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for i := range 2 * bufferSize / len(name) {
					fmt.Fprintf(w, "%s{n=\"%d\"} 1\n", name, i)
				}
				_ = http.NewResponseController(w).Flush()
				<-more
				fmt.Fprintln(w, "the_last 1")
			}))
			t.Cleanup(s.Close)
			return s.URL
		}
		s := server(t, func(c *Config) {
			c.Metrics = MetricsConfig{EnvoyURL: endless("envoy_other"), Workload: self}
			if first == "app_" {
				c.Metrics = MetricsConfig{AppURLs: []string{endless("app_")}}
			}
		})
		agent := httptest.NewServer(s.Handler())
		t.Cleanup(agent.Close)
		client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Get(agent.URL + path)
		if err != nil {
			close(more)
			t.Fatal(err)
		}
		defer res.Body.Close()
		began := make([]byte, bufferSize)
		if _, err := io.ReadFull(res.Body, began); err != nil || !strings.Contains(string(began), first) {
			t.Errorf("%s: before the end of the page %v:\n%.200s", path, err, began)
		}
		close(more)
		if rest, err := io.ReadAll(res.Body); err != nil || !strings.HasSuffix(string(rest), "the_last 1\n") {
			t.Errorf("%s: the page ends in %q, %v", path, rest[max(0, len(rest)-50):], err)
		}
	}
}

func TestParseScrape(t *testing.T) {
	for _, tc := range []struct{ text, want, err string }{
		{`{"scrape":"true","path":"/m","port":"9080"}`, "http://localhost:9080/m", ""},
		{`{"scrape":"true"}`, "http://localhost:80/metrics", ""},
		{`{"scrape":"true","path":"m","scheme":"https","port":"1"}`, "https://localhost:1/m", ""},
		{`{"scrape":"false","port":"x"}`, "", ""},
		{`{"scrape":"1"}`, "http://localhost:80/metrics", ""},
		{`{"targets":[{"port":"9101","path":"/a"},{"port":"15020"},{"port":"9102"}]}`, "http://localhost:9101/a http://localhost:9102/metrics", ""},
		{`{"targets":[{"port":"x"}]}`, "", "prometheus.io/port"},
		{`{"scrape":"true","port":"15020"}`, "", ""},
		{``, "", ""},
		{`{"scrape":"true","port":"http"}`, "", "prometheus.io/port"},
		{`{"scrape":"true","scheme":"ftp"}`, "", "prometheus.io/scheme"},
		{`[`, "", "ISTIO_PROMETHEUS_ANNOTATIONS"},
	} {
		got, err := ParseScrape(tc.text, 15020)
		if strings.Join(got, " ") != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %q, %v", tc.text, got, err)
		}
	}
}

func TestScrapeTimeout(t *testing.T) {
	for text, want := range map[string]float64{"2.5": 2.5, "": 10, "x": 10, "-1": 10, "NaN": 10, "1e9": 10} {
		if got := timeoutOf(http.Header{"X-Prometheus-Scrape-Timeout-Seconds": {text}}).Seconds(); got != want {
			t.Errorf("%q: %v s, want %v", text, got, want)
		}
	}
}

func FuzzParseScrape(f *testing.F) {
	f.Add(`{"scrape":"true","path":"/m","port":"9080"}`)
	f.Fuzz(func(t *testing.T, text string) {
		if urls, err := ParseScrape(text, 15020); err != nil && urls != nil {
			t.Fatal("both a URL and an error")
		}
	})
}
