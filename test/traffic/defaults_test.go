package traffic

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/trap"
)

const defaultsText = `
-- input.yaml --
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: default}, spec: {clusterIP: 10.96.0.2, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: http-lost, port: 9556}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: default, labels: {app: web}}, spec: {containers: [{name: app, image: x}]}, status: {podIP: 10.1.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-2, namespace: default, labels: {app: web}}, spec: {containers: [{name: app, image: x}]}, status: {podIP: 10.1.0.2, phase: Running, conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web, namespace: default}, spec: {hosts: [web], http: [
  {match: [{port: 9556}], retries: {attempts: 0}, route: [{destination: {host: web, port: {number: 9556}}}]}, {route: [{destination: {host: web, port: {number: 80}}}]}]}}
-- calls.yaml --
calls:
- {call: "http://web/", want: {cluster: outbound|80||web}}
- {call: "http://web/", upstream: slow}
- {call: "http://web/", upstream: "503", want: {status: 503}}
- {call: "http://web:9556/", upstream: refused, want: {status: 503, flags: UF}}
`

// lostPort is that of servers that nothing reaches.
const lostPort = 9556

// Without a DestinationRule nothing bounds the use of servers, and none is ejected for what it answers; what takes long is
// a connection only, of which 10 s are waited for.
func TestDefaultsBoundConnectingOnly(t *testing.T) {
	c, err := read(t, txtar.Parse([]byte(defaultsText)), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, c.resources["client"], envoytest.NewSecrets(t), &c.File)
	r.namespace.Lose(t, lostPort)
	well, slow, ill, lost := c.Calls[0], c.Calls[1], c.Calls[2], c.Calls[3]
	for _, call := range []*Call{well, lost} {
		a := explained(c.resources["client"]).Explain(call.request)
		for _, d := range call.differ(call.predicted(a)) {
			t.Errorf("%s, by explain: %s", call.Call, d)
		}
		if i := slices.IndexFunc(a.Steps, func(s explain.Step) bool {
			return strings.Contains(strings.Join(s.Details, "\n"), "limits: ") || strings.Contains(strings.Join(s.Details, "\n"), "ejects")
		}); i >= 0 {
			t.Errorf("%s, by explain: %v", call.Call, a.Steps[i].Details)
		}
		wait := a.Outcome.Forward.Clusters[0].ConnectTimeout
		if wait != connectTimeout {
			t.Errorf("%s, by explain: a connection is waited for for %s", call.Call, wait)
		}
		trap.Apart(t, "connections-wait-10-seconds", wait, envoyTimeout)
	}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		begun := time.Now()
		for _, d := range call(t, r, lost, "lost") {
			t.Errorf("%s: %s", lost.Call, d)
		}
		took := time.Since(begun)
		if took < connectTimeout || took > connectTimeout+5*time.Second {
			t.Errorf("a connection was waited for for %s", took)
		}
		trap.Apart(t, "connections-wait-10-seconds", took < connectTimeout, true)
	})
	trap.Apart(t, "circuit-breakers-are-open", r.atOnce(t, slow), envoyLimit)
	for range 2 * consecutiveErrors {
		call(t, r, ill, "ill")
	}
	met := map[string]bool{}
	envoytest.Eventually(t, "both servers answer after errors", func() bool {
		for _, e := range r.call(t, well, "well").endpoints {
			met[e] = true
		}
		return len(met) == 2
	})
	trap.Apart(t, "servers-are-not-ejected", len(met), 1)
	waiting.Wait()
}

// connectTimeout is Istio's for connections to servers, envoyTimeout Envoy's own, and consecutiveErrors Envoy's number of errors
// by which an outlier is known.
const connectTimeout, envoyTimeout, consecutiveErrors = 10 * time.Second, 5 * time.Second, 5

func call(t *testing.T, r *runner, c *Call, id string) []string {
	t.Helper()
	return c.differ(r.call(t, c, id))
}

// envoyLimit is Envoy's own of connections, and of requests, to a cluster, and severalAtOnce is more.
const envoyLimit, severalAtOnce = 1024, 1100

// atOnce makes a call that nobody answers that many times at once, until servers have seen all. It gives how many they saw.
func (r *runner) atOnce(t *testing.T, call *Call) int {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var open sync.WaitGroup
	for range severalAtOnce {
		open.Go(func() { _, _ = r.send(ctx, call, "at once") })
	}
	envoytest.Eventually(t, "servers see all requests at once", func() bool { return len(r.stub.of("at once")) == severalAtOnce })
	stop()
	open.Wait()
	return len(r.stub.of("at once"))
}
