package translate

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/agent/connections"
	agenttap "github.com/pilothouse-mesh/pilothouse/agent/tap"
	"github.com/pilothouse-mesh/pilothouse/ctl/tap"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

const tapYAML = `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: default}
spec:
  selector: {matchLabels: {app: reviews}}
  rules: [{to: [{operation: {paths: ["/open", "/fail"]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: default}
spec:
  selector: {matchLabels: {app: reviews}}
  action: DENY
  rules: [{to: [{operation: {paths: ["/shut"]}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews-rule, namespace: default}
spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]}
`

// tapped runs the agent's part for one Envoy.
func tapped(t *testing.T, socket string, admin func() int) string {
	t.Helper()
	return runTap(t, agenttap.Config{
		SocketPath: socket,
		SetRuntime: func(ctx context.Context, key, value string) error {
			at := fmt.Sprintf("http://127.0.0.1:%d/runtime_modify?%s", admin(), url.Values{key: {value}}.Encode())
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			return resp.Body.Close()
		},
	})
}

// runTap gives where to watch.
func runTap(t *testing.T, c agenttap.Config) string {
	t.Helper()
	if c.Connections == nil {
		c.Connections = connections.New(connections.Config{MaxOpen: 100, MaxSeries: 100, Now: time.Now})
	}
	c.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	watched := agenttap.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- watched.Run(ctx) }()
	srv := httptest.NewServer(watched)
	t.Cleanup(func() {
		srv.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return srv.URL
}

// ask gives a page of Envoy's admin interface.
func (h *hop) ask(path string) string {
	h.t.Helper()
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", h.admin, path))
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(body)
}

// TestTapTellsWhatDecided watches both sides of requests over mutual TLS: nothing is sent before somebody
// watches and after, and meanwhile each request is told with its client's identity, its route's object and the
// policy that let it pass or not.
func TestTapTellsWhatDecided(t *testing.T) {
	httpPort, tcpPort := envoytest.FreePort(t), envoytest.FreePort(t)
	input := fmt.Sprintf(twoHopsYAML, httpPort, tcpPort) + tapYAML
	gate := envoytest.NewGate(t, "", envoytest.NewSecrets(t))
	var inbound, outboundHop *hop
	sockets := t.TempDir()
	in := tapped(t, filepath.Join(sockets, "in"), func() int { return inbound.admin })
	out := tapped(t, filepath.Join(sockets, "out"), func() int { return outboundHop.admin })
	labels := map[string]string{"app": "reviews", "version": "v1"}
	inbound = startHop(t, hopConfig{
		res:       translate(t, input, Proxy{Name: "reviews-v1-0", Labels: labels, IPs: []string{"10.0.1.1"}}),
		workload:  telemetry.WorkloadOf("reviews-v1", "default", "Kubernetes", labels),
		listeners: map[string][]int{model.VirtualInboundListener: {httpPort}}, secrets: gate.Socket, tap: filepath.Join(sockets, "in"),
	})
	client := envoytest.FreePort(t)
	outboundHop = startHop(t, hopConfig{
		res:       translate(t, input, Proxy{Labels: map[string]string{"app": "productpage"}}),
		workload:  telemetry.WorkloadOf("productpage-v1", "default", "Kubernetes", nil),
		listeners: map[string][]int{"0.0.0.0_9080": {client}}, clusters: map[string]int{outbound("", "reviews"): httpPort},
		secrets: gate.Socket, tap: filepath.Join(sockets, "out"),
	})
	outboundHop.servers.addr = "127.0.0.1:" + strconv.Itoa(client)
	call := func(path string) { outboundHop.servers.get(t, "reviews:9080", path, nil) }
	call("/open?before")
	for _, h := range []*hop{inbound, outboundHop} {
		if got := strings.TrimSpace(h.ask("/stats?filter=^cluster.tap.upstream_cx_total$")); got != "cluster.tap.upstream_cx_total: 0" {
			t.Errorf("before anybody watches: %s", got)
		}
	}
	requests := make(chan tap.Request, 100)
	stop := make([]context.CancelFunc, 0, 2)
	ended := make(chan error, 2)
	for _, at := range []string{in, out} {
		ctx, cancel := context.WithCancel(t.Context())
		stop = append(stop, cancel)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer resp.Body.Close()
			ended <- tap.Read(resp.Body, "pod", func(r tap.Request) error { requests <- r; return nil }, func(uint64) {})
		}()
	}
	for _, path := range []string{"/open", "/shut", "/else"} {
		call(path)
	}
	got := map[string]string{}
	for range 6 {
		select {
		case r := <-requests:
			got[r.Side+" "+r.Path] = fmt.Sprintf("%s %d %s %s", r.Source, r.Code, r.Route, r.Policy)
		case <-time.After(time.Minute):
			t.Fatalf("only %v are told", got)
		}
	}
	const rule = "virtual-service/default/reviews-rule"
	for request, want := range map[string]string{
		"out /open": "127.0.0.1 200 " + rule + " ", "out /shut": "127.0.0.1 403 " + rule + " ", "out /else": "127.0.0.1 403 " + rule + " ",
		"in /open": "default/test 200  ns[default]-policy[readers]-rule[0]", "in /shut": "default/test 403  ns[default]-policy[nobody]-rule[0]",
		"in /else": "default/test 403  none",
	} {
		if got[request] != want {
			t.Errorf("%s is told as %q, want %q", request, got[request], want)
		}
	}
	for _, cancel := range stop {
		cancel()
	}
	for range stop {
		<-ended // by its cancellation
	}
	for _, h := range []*hop{inbound, outboundHop} {
		envoytest.Eventually(t, "an end of the logging", func() bool {
			return strings.Contains(h.ask("/runtime"), `"final_value": "`+strconv.Itoa(telemetry.TapNone)+`"`)
		})
	}
	call("/open?after")
	for range len(requests) {
		t.Errorf("told as well: %+v", <-requests)
	}
}
