package translate

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

const flagsYAML = `
---
apiVersion: v1
kind: Service
metadata: {name: authz, namespace: default}
spec: {clusterIP: 10.96.0.7, selector: {app: authz}, ports: [{name: http, port: 8000}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, subsets: [{name: none, labels: {version: none}}, {name: dead, labels: {version: dead}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {exact: /none}}]
    route: [{destination: {host: reviews, subset: none}}]
  - match: [{uri: {exact: /dead}}]
    route: [{destination: {host: reviews, subset: dead}}]
    retries: {attempts: 0}
  - match: [{uri: {exact: /dead/again}}]
    route: [{destination: {host: reviews, subset: dead}}]
    retries: {attempts: 1}
  - match: [{uri: {exact: /fail/again}}]
    rewrite: {uri: /fail}
    route: [{destination: {host: reviews, port: {number: 9080}}}]
    retries: {attempts: 1, retryOn: 5xx}
  - match: [{uri: {exact: /late}}]
    rewrite: {uri: /slow}
    route: [{destination: {host: reviews, port: {number: 9080}}}]
    timeout: 1s
    retries: {attempts: 0}
  - match: [{uri: {exact: /abort}}]
    route: [{destination: {host: reviews, port: {number: 9080}}}]
    fault: {abort: {percentage: {value: 100}, httpStatus: 418}}
  - match: [{uri: {exact: /delay}}]
    route: [{destination: {host: reviews, port: {number: 9080}}}]
    fault: {delay: {percentage: {value: 100}, fixedDelay: 0.01s}}
  - match: [{uri: {prefix: /app/}}]
    rewrite: {uri: /}
    route: [{destination: {host: reviews, port: {number: 9080}}}]
    retries: {attempts: 0}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: denied, namespace: default}
spec: {action: DENY, selector: {matchLabels: {app: reviews}}, rules: [{to: [{operation: {paths: [/denied]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: asked, namespace: default}
spec: {action: CUSTOM, provider: {name: authz}, selector: {matchLabels: {app: reviews}}, rules: [{to: [{operation: {paths: [/asked]}}]}]}
`

// odd is an application whose answers go wrong. It tells of each request for /slow once it is there.
func odd(t *testing.T) (port int, slow <-chan struct{}) {
	there := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fail":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/slow":
			there <- struct{}{}
			<-r.Context().Done()
		case "/closed":
			panic(http.ErrAbortHandler)
		case "/garbage":
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, "no HTTP\r\n\r\n")
			conn.Close()
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port, there
}

// outcomes gives how often the proxy counted which code and flags, of what it tells of the server.
func (h *hop) outcomes() map[string]string {
	out := map[string]string{}
	for series, value := range h.metrics("istio_requests_total") {
		labels := map[string]string{}
		for _, label := range strings.Fields(series)[1:] {
			name, text, _ := strings.Cut(label, "=")
			labels[name], _ = strconv.Unquote(text)
		}
		out[strings.Join([]string{
			labels["reporter"], labels["response_code"], labels["response_flags"], "from", labels["source_workload"],
			"to", labels["destination_workload"], labels["destination_service_name"], labels["connection_security_policy"],
		}, " ")] = value
	}
	return out
}

// Why a request had no good answer is told by Envoy's flags, as Istio has them, by the client's proxy and by the
// server's, each of what it saw itself. What a policy denies has no flag: its code says it, and the server's proxy
// counts it; only what an external authorizer denies has one.
func TestResponseFlags(t *testing.T) {
	app, slow := odd(t)
	m := startMetered(t, `extensionProviders: [{name: authz, envoyExtAuthzHttp: {service: authz.default.svc.cluster.local, port: 8000}}]`, flagsYAML, map[string]int{
		"app": app, outbound("none", "reviews"): noHost, outbound("dead", "reviews"): envoytest.FreePort(t),
		"outbound|8000||authz.default.svc.cluster.local": envoytest.FreePort(t),
	})
	sent, received := map[string]int{}, map[string]int{}
	// A connection is there before /late, whose timeout a handshake may outlast.
	if res, _ := m.out.servers.get(t, "reviews:9080", "/app/", nil); res.StatusCode != http.StatusOK {
		t.Fatalf("the first request has status %d", res.StatusCode)
	}
	sent["200 -"]++
	received["200 -"]++
	for path, want := range map[string]struct{ source, destination string }{
		"/app/":        {"200 -", "200 -"},
		"/nowhere":     {"404 NR", ""},
		"/none":        {"503 UH", ""},
		"/dead":        {"503 UF", ""},
		"/dead/again":  {"503 URX,UF", ""},
		"/fail/again":  {"503 URX", "503 -"}, // twice
		"/late":        {"504 UT", "0 DC"},
		"/abort":       {"418 FI", ""},
		"/delay":       {"200 DI", "200 -"},
		"/app/closed":  {"503 -", "503 UC"},
		"/app/garbage": {"502 -", "502 UPE"},
		"/app/denied":  {"403 -", "403 -"},
		"/app/asked":   {"403 -", "403 UAEX"},
	} {
		res, _ := m.out.servers.get(t, "reviews:9080", path, nil)
		if code, _, _ := strings.Cut(want.source, " "); strconv.Itoa(res.StatusCode) != code {
			t.Errorf("%s: status %d, want %s", path, res.StatusCode, code)
		}
		sent[want.source]++
		if path == "/fail/again" {
			received[want.destination]++
		}
		if want.destination != "" {
			received[want.destination]++
		}
	}
	arrived := func(path string) {
		select {
		case <-slow:
		case <-time.After(time.Minute):
			t.Errorf("%s did not reach the application", path)
		}
	}
	arrived("/late")
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.out.servers.addr+"/app/slow", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "reviews:9080"
	go func() {
		arrived("/app/slow")
		cancel()
	}()
	if res, err := http.DefaultTransport.RoundTrip(req); err == nil {
		res.Body.Close()
		t.Errorf("a request that was given up has status %d", res.StatusCode)
	}
	sent["0 DC"]++
	received["0 DC"]++
	conn, err := net.Dial("tcp", m.out.servers.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // it is a connection of TCP
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("a request that is none: %v", err)
	}
	sent["400 DPE"]++

	m.out.wantUnits()
	// The client's proxy knows the server's workload of what it had chosen a host for.
	wantSent, wantReceived := map[string]string{}, map[string]string{}
	for outcome, n := range sent {
		to := "reviews-v1 reviews"
		switch code, flags, _ := strings.Cut(outcome, " "); {
		case flags == "NR" || flags == "DPE":
			to = "unknown unknown"
		case flags == "UH" || flags == "FI" || code == "503" && strings.Contains(flags, "UF"):
			to = "unknown reviews"
		}
		wantSent["source "+outcome+" from productpage-v1 to "+to+" unknown"] = strconv.Itoa(n)
	}
	for outcome, n := range received {
		wantReceived["destination "+outcome+" from productpage-v1 to reviews-v1 reviews mutual_tls"] = strconv.Itoa(n)
	}
	for h, want := range map[*hop]map[string]string{m.out: wantSent, m.in: wantReceived} {
		var got map[string]string
		func() {
			defer func() {
				if !maps.Equal(got, want) {
					t.Errorf("requests of %s (-want +got):\n%s", h.workload.Name, strings.Join(difference(want, got), "\n"))
				}
			}()
			envoytest.Eventually(t, "the requests of "+h.workload.Name, func() bool { got = h.outcomes(); return maps.Equal(got, want) })
		}()
	}
}

const tcpFlagsYAML = `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: denied, namespace: default}
spec: {action: DENY, selector: {matchLabels: {app: reviews}}, rules: [{from: [{source: {namespaces: [default]}}]}]}
`

// A connection that reaches no server has Envoy's flags, and counts as opened and as closed. One that a policy denies has
// none; the client's proxy has seen it open, and the server's has seen it end.
func TestResponseFlagsOfConnections(t *testing.T) {
	const opened, closed = "istio_tcp_connections_opened_total", "istio_tcp_connections_closed_total"
	for name, c := range map[string]struct {
		objects string
		port    int // of the server, 0 for reviews'
		flags   string
		ended   string // how many connections the server's proxy has seen end
	}{
		"denied":      {tcpFlagsYAML, 0, "-", "1"},
		"unreachable": {"", envoytest.FreePort(t), "UF,URX", ""},
	} {
		t.Run(name, func(t *testing.T) {
			servers := map[string]int{}
			if c.port != 0 {
				servers["outbound|9081||reviews.default.svc.cluster.local"] = c.port
			}
			m := startMetered(t, "", oftenYAML+c.objects, servers)
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", m.raw))
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.WriteString(conn, "hello")
			_, _ = io.Copy(io.Discard, conn) // until it is closed
			conn.Close()
			count := func(h *hop, name string) string {
				for series, value := range h.metrics(name) {
					if strings.Contains(series, `response_flags="`+c.flags+`"`) {
						return value
					}
				}
				return ""
			}
			var got [3]string
			defer func() { t.Logf("opened, closed, and ended at the server: %q", got) }()
			envoytest.Eventually(t, "the connection is counted", func() bool {
				got = [3]string{count(m.out, opened), count(m.out, closed), count(m.in, closed)}
				return got == [3]string{"1", "1", c.ended}
			})
		})
	}
}

// wantTypes looks for each of Istio's metrics with its type, and for the buckets of Istio's histograms, which are those
// of Envoy for milliseconds and bytes alike.
func (h *hop) wantTypes() {
	h.t.Helper()
	const bounds = "0.5 1 5 10 25 50 100 250 500 1000 2500 5000 10000 30000 60000 300000 600000 1800000 3600000 +Inf"
	kinds, buckets := map[string]string{}, map[string][]string{}
	for line := range strings.Lines(h.page()) {
		if rest, ok := strings.CutPrefix(line, "# TYPE istio_"); ok && !strings.HasPrefix(rest, "agent_") {
			name, kind, _ := strings.Cut(strings.TrimSpace(rest), " ")
			kinds["istio_"+name] = kind
		}
		name, labels, _ := strings.Cut(line, "{")
		series, le, found := strings.Cut(labels, `,le="`)
		if of, ok := strings.CutSuffix(name, "_bucket"); ok && found && strings.HasPrefix(of, "istio_") {
			bound, _, _ := strings.Cut(le, `"`)
			buckets[of+" "+series] = append(buckets[of+" "+series], bound)
		}
	}
	want := map[string]string{}
	for _, name := range slices.Concat(metricMessages, metricTCP, metricRequests[:1]) {
		want[name] = "counter"
	}
	for _, name := range metricRequests[1:] {
		want[strings.TrimSuffix(name, "_count")] = "histogram"
	}
	if !maps.Equal(kinds, want) {
		h.t.Errorf("types of metrics of %s: %v, want %v", h.workload.Name, kinds, want)
	}
	for series, got := range buckets {
		if strings.Join(got, " ") != bounds {
			h.t.Errorf("%s: buckets %v, want %s", series, got, bounds)
		}
	}
	if len(buckets) < 3 {
		h.t.Errorf("only %d histograms", len(buckets))
	}
}

// wantUnits sees that the request that was delayed by 10 ms took about as many milliseconds, and that its bytes are those
// on the wire, headers included.
func (h *hop) wantUnits() {
	h.t.Helper()
	names := []string{"istio_request_duration_milliseconds_sum", "istio_request_bytes_sum", "istio_response_bytes_sum"}
	envoytest.Eventually(h.t, "the delayed request is counted", func() bool {
		n := 0
		for series, text := range h.metrics(names...) {
			if !strings.Contains(series, `response_flags="DI"`) || text == "0" { // which Envoy has not added up
				continue
			}
			n++
			value, err := strconv.ParseFloat(text, 64)
			low, high := 50.0, 5000.0 // bytes
			if strings.HasPrefix(series, names[0]) {
				low, high = 10, 9900 // milliseconds, up to the client's timeout
			}
			if err != nil || value < low || value > high {
				h.t.Errorf("%s %s is none of %v to %v", series, text, low, high)
			}
		}
		return n == len(names)
	})
}
