package traffic

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// series writes one line of metrics between workloads of namespace default.
func series(metric, reporter, from, to, more string, value float64) string {
	return fmt.Sprintf(`%s{reporter=%q,source_workload=%q,source_workload_namespace="default",destination_workload=%q,destination_workload_namespace="default",destination_service_name="svc",%s} %g`+"\n",
		metric, reporter, from, to, more, value)
}

func at(t *testing.T, second int, namespace, page string) point {
	t.Helper()
	r, err := parse(strings.NewReader(page), namespace)
	if err != nil {
		t.Fatal(err)
	}
	return point{time.Unix(int64(second), 0), r}
}

// graphOf makes the graph of proxies, of which each has readings.
func graphOf(proxies ...[]point) Graph {
	var g Graph
	rates := map[edge]*rate{}
	for _, points := range proxies {
		(&history{points: points}).addTo(rates, &g)
	}
	g.fill(rates)
	return g
}

func TestRatesAreTakenBetweenReadings(t *testing.T) {
	page := func(ok, failed, grpc float64) string {
		const bucket = "istio_request_duration_milliseconds_bucket"
		return series("istio_requests_total", "source", "a", "b", `request_protocol="http",response_code="200"`, ok) +
			series("istio_requests_total", "source", "a", "b", `request_protocol="http",response_code="503"`, failed) +
			series("istio_requests_total", "source", "a", "c", `request_protocol="grpc",response_code="200",grpc_response_status="14"`, grpc) +
			series(bucket, "source", "a", "b", `request_protocol="http",response_code="200",le="10"`, ok/2) +
			series(bucket, "source", "a", "b", `request_protocol="http",response_code="200",le="20"`, ok) +
			series(bucket, "source", "a", "b", `request_protocol="http",response_code="200",le="+Inf"`, ok)
	}
	first := graphOf([]point{at(t, 0, "default", page(100, 0, 0))})
	if first.Measured || first.Edges[0].Requests != 0 || first.Edges[0].Total != 100 {
		t.Errorf("after one reading: %+v", first)
	}
	g := graphOf([]point{at(t, 0, "default", page(100, 0, 0)), at(t, 10, "default", page(190, 10, 5))})
	if !g.Measured || len(g.Edges) != 2 {
		t.Fatalf("graph %+v", g)
	}
	b, c := g.Edges[0], g.Edges[1]
	if b.Requests != 10 || b.Failed != 0.1 || b.Total != 200 || b.P50 != 10 || math.Abs(b.P95-19) > 1e-9 {
		t.Errorf("a to b: %+v, want 10/s, a tenth failed, p50 10 ms and p95 19 ms", b)
	}
	if c.Requests != 0.5 || c.Failed != 1 || c.P50 >= 0 {
		t.Errorf("a to c: %+v, want 0.5/s, all failed by their gRPC status", c)
	}
	// A proxy that starts again counts from 0, while the other goes on.
	again := graphOf([]point{at(t, 0, "default", page(1000, 0, 0)), at(t, 5, "default", page(20, 0, 0)), at(t, 10, "default", page(50, 0, 0))})
	if again.Edges[0].Requests != 5 {
		t.Errorf("after a restart: %v/s, want 5", again.Edges[0].Requests)
	}
}

func TestBothSidesAreOneEdge(t *testing.T) {
	client := func(n float64) string {
		return series("istio_requests_total", "source", "a", "b", `request_protocol="http",response_code="200",connection_security_policy="unknown"`, 2*n) +
			series("istio_tcp_connections_opened_total", "source", "a", "db", `request_protocol="tcp",connection_security_policy="unknown"`, n)
	}
	server := func(n float64) string {
		return series("istio_requests_total", "destination", "a", "b", `request_protocol="http",response_code="200",connection_security_policy="mutual_tls"`, n) +
			series("istio_requests_total", "destination", "unknown", "b", `request_protocol="http",response_code="200",connection_security_policy="none"`, n) +
			series("istio_tcp_connections_opened_total", "destination", "unknown", "db", `request_protocol="tcp",connection_security_policy="mutual_tls"`, n)
	}
	g := graphOf([]point{at(t, 0, "default", client(0)), at(t, 10, "default", client(10))}, []point{at(t, 0, "default", server(0)), at(t, 10, "default", server(10))})
	var got []string
	for _, e := range g.Edges {
		got = append(got, fmt.Sprintf("%s %s %g %g %s", e.From.Name, e.To.Name, e.Requests, e.Connections, e.Security))
	}
	want := []string{"a b 2 0 mTLS", "a db 0 1 mTLS", "unknown b 1 0 plaintext"}
	if !slices.Equal(got, want) {
		t.Errorf("edges %q, want %q", got, want)
	}
}

func TestAProxySpeaksOfItsOwnNamespace(t *testing.T) {
	forged := series("istio_requests_total", "source", "a", "b", `request_protocol="http",response_code="500"`, 7) +
		series("istio_requests_total", "destination", "a", "b", `request_protocol="http",response_code="500"`, 7)
	if r, err := parse(strings.NewReader(forged), "elsewhere"); err != nil || len(r.edges) != 0 {
		t.Errorf("%d edges of another namespace are believed, %v", len(r.edges), err)
	}
}

func TestPagesAreBounded(t *testing.T) {
	var many strings.Builder
	for i := range maxEdges + 5 {
		many.WriteString(series("istio_requests_total", "source", "a", "b"+strconv.Itoa(i), `request_protocol="http",response_code="200"`, 1))
	}
	if r, err := parse(strings.NewReader(many.String()), "default"); err != nil || len(r.edges) != maxEdges || !r.cut {
		t.Errorf("%d edges, cut %v, %v", len(r.edges), r.cut, err)
	}
	for name, page := range map[string]string{
		"a long line": "istio_requests_total{" + strings.Repeat("x", maxLine),
		"a long page": strings.Repeat(strings.Repeat("y", 1000)+"\n", maxPage/1000+1),
	} {
		if _, err := parse(strings.NewReader(page), "default"); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for _, broken := range []string{"istio_requests_total{", "istio_requests_total{} x", `istio_requests_total{a="\`, `istio_requests_total{a="b} 1`, "{}", "istio_requests_total{reporter=\"source\"} NaN"} {
		if _, err := parse(strings.NewReader(broken), "default"); err != nil {
			t.Errorf("%q: %v", broken, err)
		}
	}
}

func TestLabelsAreUnescaped(t *testing.T) {
	line := `istio_requests_total{reporter="source",source_workload="a\"b\\c\nd",source_workload_namespace="default",destination_workload="x"} 1`
	r, err := parse(strings.NewReader(line), "default")
	if err != nil {
		t.Fatal(err)
	}
	for e := range r.edges {
		if e.from.Name != "a\"b\\c\nd" || e.to.Name != "x" {
			t.Errorf("edge %q to %q", e.from.Name, e.to.Name)
		}
	}
}

// serve gives a server of a proxy's metrics, and the port for all proxies.
func serve(t *testing.T, h http.Handler) uint16 {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(port)
}

func TestOnlyALookReadsProxies(t *testing.T) {
	var asked atomic.Int32
	port := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path != "/stats/prometheus" {
			t.Errorf("asked for %s", r.URL)
		}
		fmt.Fprint(w, series("istio_requests_total", "source", "a", "b", `request_protocol="http",response_code="200"`, 1))
	}))
	there, elsewhere := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.9")
	w := New(Options{
		Port: port, Logger: slog.New(slog.DiscardHandler),
		Proxies: func() []Proxy {
			return []Proxy{{"b.other", "other", elsewhere}, {"a.default", "default", there}, {"a.default", "default", there}}
		},
	})
	if asked.Load() != 0 {
		t.Error("read without a look")
	}
	g := w.Look(t.Context(), "default")
	if g.Proxies != 1 || len(g.Edges) != 1 || len(g.Failed) != 0 || asked.Load() != 1 {
		t.Errorf("a look at one namespace: %+v, %d asked", g, asked.Load())
	}
	g = w.Look(t.Context(), "")
	if g.Proxies != 2 || len(g.Edges) != 1 || len(g.Failed) != 1 || g.Failed[0].Proxy != "b.other" {
		t.Errorf("a look at all, of which one does not answer: %+v", g)
	}
	before := asked.Load()
	for range 5 {
		w.Look(t.Context(), "")
	}
	if asked.Load() != before {
		t.Errorf("looks at once read %d times more", asked.Load()-before)
	}
}

func TestNoProxySendsUsElsewhere(t *testing.T) {
	var reached atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(other.Close)
	port := serve(t, http.RedirectHandler(other.URL, http.StatusFound))
	w := New(Options{
		Port: port, Logger: slog.New(slog.DiscardHandler),
		Proxies: func() []Proxy { return []Proxy{{"a.default", "default", netip.MustParseAddr("127.0.0.1")}} },
	})
	if g := w.Look(t.Context(), ""); len(g.Failed) != 1 || reached.Load() {
		t.Errorf("%+v, elsewhere reached: %v", g, reached.Load())
	}
}

// hanging is a transport that answers nothing.
type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// Who has left does not wait for the look of somebody else, which proxies may hold up.
func TestWhoHasLeftWaitsForNoLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(Options{Logger: slog.New(slog.DiscardHandler), Proxies: func() []Proxy { return []Proxy{{"a.shop", "shop", netip.MustParseAddr("127.0.0.1")}} }})
		w.client.Transport = hanging{}
		first, second := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(first)
			w.Look(t.Context(), "")
		}()
		synctest.Wait()
		gone, leave := context.WithCancel(t.Context())
		go func() {
			defer close(second)
			w.Look(gone, "")
		}()
		synctest.Wait()
		leave()
		select {
		case <-second:
		case <-first:
			t.Error("it waited for the other look")
		}
		<-first
		<-second
		w.drop()
	})
}

func TestWhatWasReadIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(Options{Logger: slog.New(slog.DiscardHandler), Proxies: func() []Proxy { return nil }})
		w.Look(context.Background(), "")
		w.take(Proxy{Name: "a.default"}, point{at: time.Now()}, nil)
		time.Sleep(forgetAfter - time.Second)
		w.Look(context.Background(), "")
		time.Sleep(forgetAfter + time.Second)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.history) != 0 || w.forget != nil {
			t.Errorf("%d histories are kept when nobody looks", len(w.history))
		}
	})
}

func TestTheWindowMovesOn(t *testing.T) {
	for _, every := range []time.Duration{time.Second, 3 * time.Second, 10 * time.Second, time.Minute} {
		w := New(Options{Logger: slog.New(slog.DiscardHandler)})
		began := time.Now()
		for i := range 300 {
			w.take(Proxy{Name: "a.default"}, point{at: began.Add(time.Duration(i) * every)}, nil)
		}
		points := w.history["a.default"].points
		if span := points[len(points)-1].at.Sub(points[0].at); len(points) > 2*steps || span < window || span > window+max(every, 2*window/steps) {
			t.Errorf("every %v: %d points over %v", every, len(points), span)
		}
	}
}
