package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/test/leftovers"
)

var (
	chaosRounds = flag.Int("rounds", 7, "rounds of TestChaos, each with one kill")
	chaosSeed   = flag.Uint64("seed", 1, "seed of TestChaos")
)

// chaosMesh has a Service with three endpoints and one with a single one, each at a path of the
// gateway. What reaches no endpoint is tried at others.
const chaosMesh = `apiVersion: v1
kind: Service
metadata: {name: many}
spec: {selector: {app: many}, ports: [{port: 9080, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: single}
spec: {selector: {app: single}, ports: [{port: 9080, name: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: many}
spec:
  replicas: 3
  selector: {matchLabels: {app: many}}
  template:
    metadata: {labels: {app: many}}
    spec: {containers: [{name: app, image: docker.io/pilothouse/examples-bookinfo-details-v1:dev, ports: [{containerPort: 9080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: single}
spec:
  selector: {matchLabels: {app: single}}
  template:
    metadata: {labels: {app: single}}
    spec: {containers: [{name: app, image: docker.io/pilothouse/examples-bookinfo-details-v1:dev, ports: [{containerPort: 9080}]}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: paths}
spec:
  hosts: ["*"]
  gateways: [gateway]
  http:
  - match: [{uri: {prefix: /many}}]
    rewrite: {uri: /details/0}
    route: [{destination: {host: many, port: {number: 9080}}}]
    retries: &retries {attempts: 5, perTryTimeout: 3s, retryOn: "connect-failure,refused-stream,reset,gateway-error"}
  - match: [{uri: {prefix: /single}}]
    rewrite: {uri: /details/0}
    route: [{destination: {host: single, port: {number: 9080}}}]
    retries: *retries
`

// The kinds of processes that are killed.
var chaosKinds = []string{"pilot-discovery", "envoy", "pilot-agent", "application", "pause", "shim", "containerd"}

// chaosRestart bounds how long the mesh may take until all of it is well again after a kill.
const chaosRestart = 45 * time.Second

// TestChaos kills one process of a mesh after the other with SIGKILL, in an order that the seed
// decides, under traffic. Requests may fail only while what was killed is the gateway, or the only
// endpoint, and then only until that is back.
func TestChaos(t *testing.T) {
	before := leftovers.Traces(t, meshes)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mesh.yaml"), []byte(chaosMesh), 0o644); err != nil {
		t.Fatal(err)
	}
	m := start(t, "e2e-chaos", dir, "--maxContainerRestartPeriod", "1s")
	c := &chaos{m: m, t: t, rand: rand.New(rand.NewPCG(*chaosSeed, 0))}
	c.waitWell("at first", func() error { return nil })
	assertStrangersReachNothing(t, m)
	many, single := m.startLoad(25, "/many"), m.startLoad(25, "/single")
	var order []string
	for round := range *chaosRounds {
		if len(order) == 0 {
			order = slices.Clone(chaosKinds)
			c.rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		victim := c.pick(order[0])
		order = order[1:]
		began := time.Now()
		c.t.Logf("%s round %d of seed %d: killing %s", began.Format("15:04:05.000"), round, *chaosSeed, victim)
		if err := syscall.Kill(victim.pid, syscall.SIGKILL); err != nil {
			t.Fatalf("kill %s: %v", victim, err)
		}
		victim.wait(t)
		c.waitWell(fmt.Sprintf("after round %d killed %s", round, victim), func() error { return victim.replaced(m.name) })
		took := time.Since(began)
		for path, l := range map[string]*load{"/many": many, "/single": single} {
			failed := l.takeFailures()
			allowed := victim.app == "istio-ingressgateway" || path == "/single" && victim.app == "single"
			if len(failed) > 0 && !allowed {
				t.Errorf("round %d killed %s, and %d requests to %s failed within %v, the first: %s", round, victim, len(failed), path, took, failed[0])
			}
			c.t.Logf("  well after %v, %d failures of %s", took.Round(time.Millisecond), len(failed), path)
		}
		if t.Failed() {
			return
		}
	}
	many.stop(t, 25)
	single.stop(t, 25)
	eventually(t, 30*time.Second, "every proxy is in sync", func() error {
		out, err := m.try("proxy-status")
		if err == nil && (strings.Count(out, "SYNCED") < 5*4 || strings.Contains(out, "STALE")) {
			err = fmt.Errorf("%s", out)
		}
		return err
	})
	m.stop()
	leftovers.AssertNone(t, meshes, before)
}

// takeFailures gives the failures so far, and forgets them.
func (l *load) takeFailures() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	failed := l.failures
	l.failures = nil
	return failed
}

type chaos struct {
	m    *mesh
	t    *testing.T
	rand *rand.Rand
}

// waitWell waits until all pods are ready and all of the mesh's parts do their work, but not before
// what was killed is replaced: a mesh looks well until it notices.
func (c *chaos) waitWell(when string, replaced func() error) {
	c.t.Helper()
	eventually(c.t, chaosRestart, "the mesh is well "+when, func() error {
		if err := replaced(); err != nil {
			return err
		}
		pods, err := readPods(c.m.name)
		if err != nil {
			return err
		}
		if len(pods) != 5 {
			return fmt.Errorf("%d pods", len(pods))
		}
		for _, p := range pods {
			if !ready(p) {
				return fmt.Errorf("pod %s is not ready", p.Name)
			}
		}
		if _, err := c.m.findDiscovery(); err != nil {
			return err
		}
		for _, path := range []string{"/many", "/single"} {
			if r := c.m.get(path); r.status != http.StatusOK {
				return fmt.Errorf("%s: %d %v", path, r.status, r.err)
			}
		}
		_, err = c.m.try("exec", pods[c.rand.IntN(len(pods))].Name, "-c", "istio-proxy", "--", "/usr/local/bin/pilot-agent", "version")
		return err
	})
}

func ready(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
