package localnode_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/localnode"
)

const twoPods = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {greeting: hello}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  selector: {app: web}
  ports: [{name: http, port: 8000, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: web-headless, namespace: default}
spec:
  clusterIP: None
  selector: {app: web}
  ports: [{name: http, port: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      securityContext: {fsGroup: 1337}
      initContainers:
      - {name: first, image: pilothouse/localnode-test:dev, args: [env, GREETING], env: [{name: GREETING, valueFrom: {configMapKeyRef: {name: settings, key: greeting}}}]}
      - name: side
        image: docker.io/istio/alias:1.0
        restartPolicy: Always
        startupProbe: {exec: {command: [/app, env, HOME]}}
      containers:
      - name: web
        image: pilothouse/localnode-test:dev
        args: [serve]
        securityContext: {runAsUser: 1337, runAsGroup: 1337, capabilities: {drop: [ALL]}}
        ports: [{name: http, containerPort: 80}]
        env:
        - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        - {name: CPUS, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
        resources: {limits: {cpu: 1500m, memory: 64Mi}}
        readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 1, failureThreshold: 1}
        volumeMounts:
        - {name: settings, mountPath: /etc/settings}
        - {name: token, mountPath: /var/run/secrets/tokens}
      volumes:
      - {name: settings, configMap: {name: settings}}
      - name: token
        projected: {sources: [{serviceAccountToken: {path: istio-token, audience: istio-ca}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: default}
spec:
  containers: [{name: client, image: pilothouse/localnode-test:dev}]
---
# A gateway of the test's own, so that none is added: it would need an injector.
apiVersion: v1
kind: Pod
metadata: {name: gateway, namespace: default, labels: {istio: ingressgateway}}
spec:
  containers: [{name: gateway, image: pilothouse/localnode-test:dev}]
`

func TestMesh(t *testing.T) {
	if err := localnode.Preflight(t.Context(), localnode.Config{}); err != nil {
		t.Fatal(err)
	}
	img := buildImage(t)
	before := leftovers(t)
	began := time.Now()
	m := start(t, "lntest", img, map[string]string{"pods.yaml": twoPods})
	t.Logf("up after %v", time.Since(began))

	t.Run("names and addresses", func(t *testing.T) { testNames(t, m) })
	t.Run("what a container sees", func(t *testing.T) { testContainer(t, m) })
	t.Run("logs", func(t *testing.T) { testLogs(t, m) })
	t.Run("readiness decides on endpoints", func(t *testing.T) { testReadiness(t, m) })
	t.Run("restart after a crash", func(t *testing.T) { testRestart(t, m) })
	t.Run("strangers reach nothing", func(t *testing.T) { testStrangers(t, m) })
	t.Run("hostile manifests harm themselves only", func(t *testing.T) { testHostile(t, m) })
	t.Run("a changed ConfigMap shows in its volume", func(t *testing.T) { testConfigMap(t, m) })
	t.Run("a change rolls out without a gap", func(t *testing.T) { testRollout(t, m) })
	began = time.Now()
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	t.Logf("down after %v", time.Since(began))
	assertNothingLeft(t, before, "lntest")
}

func testNames(t *testing.T, m *mesh) {
	out, _ := m.exec("client", "", "lookup", "web")
	if !strings.HasPrefix(out, "[10.") {
		t.Errorf("web resolves to %s", out)
	}
	for _, host := range []string{"web:8000", "web.default.svc.cluster.local:8000", "web-headless"} {
		if out, code := m.get("client", "http://"+host+"/"); code != 0 || !strings.HasPrefix(out, "web-") {
			t.Errorf("GET %s: exit code %d: %s", host, code, out)
		}
	}
	if out, _ := m.exec("client", "", "lookup", "istiod.istio-system.svc"); !strings.HasPrefix(out, "[10.") {
		t.Errorf("istiod resolves to %s", out)
	}
	if out, _ := m.exec("client", "", "lookup", "example.com"); !strings.Contains(out, "no such host") { // nor a timeout
		t.Errorf("example.com: %s", out)
	}
}

func testContainer(t *testing.T, m *mesh) {
	p := m.pod("web")
	for cmd, want := range map[string]string{"env IP": p.Status.PodIP, "env CPUS": "2", "cat /etc/settings/greeting": "hello"} {
		if out, _ := m.exec("web", "web", strings.Fields(cmd)...); strings.TrimSpace(out) != want {
			t.Errorf("%s gives %q, want %q", cmd, out, want)
		}
	}
	if out, code := m.exec("web", "web", "cat", "/var/run/secrets/tokens/istio-token"); code != 0 || strings.Count(out, ".") != 2 {
		t.Errorf("the token cannot be read by the pod's user: %s", out)
	}
	if _, code := m.exec("web", "web", "exit", "5"); code != 5 {
		t.Errorf("exit code %d, want 5", code)
	}
}

func testLogs(t *testing.T, m *mesh) {
	for container, want := range map[string]string{"web": "serving as web-", "first": "hello\n"} {
		var out bytes.Buffer
		if err := m.open.Logs(t.Context(), "web", container, localnode.LogOptions{}, &out); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("log of %s is %q, %v; want %q", container, &out, err, want)
		}
	}
}

func testReadiness(t *testing.T, m *mesh) {
	p := m.pod("web")
	vip := serviceIP(t, m, "web")
	if out, err := get("http://" + vip + ":8000/"); err != nil || out != p.Name {
		t.Fatalf("from the host: %q, %v", out, err)
	}
	if _, err := get("http://" + p.Status.PodIP + "/set?ready=false"); err != nil {
		t.Fatal(err)
	}
	m.eventually("refusing connections without a ready pod", func() bool {
		_, err := get("http://" + vip + ":8000/")
		return err != nil && strings.Contains(err.Error(), "refused")
	})
	if _, err := get("http://" + p.Status.PodIP + "/set?ready=true"); err != nil {
		t.Fatal(err)
	}
	m.eventually("serving again", func() bool { _, err := get("http://" + vip + ":8000/"); return err == nil })
}

func testRestart(t *testing.T, m *mesh) {
	p := m.pod("web")
	before := p.Status.ContainerStatuses[0].RestartCount
	_, _ = get("http://" + p.Status.PodIP + "/crash")
	e := m.wait("the crash being told", func(e localnode.Event) bool { return strings.Contains(e.Message, "exit code 7") })
	if !slices.Contains(e.LogTail, "crashing as told") {
		t.Errorf("the last lines are %q", e.LogTail)
	}
	m.wait("the pod being ready again", func(e localnode.Event) bool { return e.Kind == localnode.EventReady })
	if n := m.pod("web").Status.ContainerStatuses[0].RestartCount; n != before+1 {
		t.Errorf("restart count is %d, and was %d", n, before)
	}
}

func testConfigMap(t *testing.T, m *mesh) {
	name := m.pod("web").Name
	m.write("pods.yaml", strings.Replace(twoPods, "greeting: hello", "greeting: goodbye", 1))
	m.eventually("the new greeting", func() bool {
		out, _ := m.exec("web", "web", "cat", "/etc/settings/greeting")
		return out == "goodbye"
	})
	if now := m.pod("web").Name; now != name {
		t.Errorf("pod %s was replaced by %s", name, now)
	}
}

func testRollout(t *testing.T, m *mesh) {
	old := m.pod("web").Name
	vip := serviceIP(t, m, "web")
	m.write("pods.yaml", strings.Replace(twoPods, "labels: {app: web}}\n    spec:", "labels: {app: web, version: v2}}\n    spec:", 1))
	failures := 0
	m.eventually("the former pod being gone", func() bool {
		if _, err := get("http://" + vip + ":8000/"); err != nil {
			failures++
		}
		_, err := m.open.Pod("default/" + old)
		return err != nil
	})
	if failures > 0 {
		t.Errorf("%d requests failed meanwhile", failures)
	}
	if m.pod("web").Labels["version"] != "v2" {
		t.Errorf("labels are %v", m.pod("web").Labels)
	}
}

func TestDownAfterKill(t *testing.T) {
	img := buildImage(t)
	before := leftovers(t)
	cmd := runToKill(t, "lnkill", img)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if err := localnode.Down(t.Context(), "", "lnkill"); err != nil {
		t.Fatal(err)
	}
	assertNothingLeft(t, before, "lnkill")
	if err := localnode.Down(t.Context(), "", "lnkill"); !errors.Is(err, localnode.ErrNoMesh) {
		t.Errorf("a second Down says %v", err)
	}
}

func TestTwoMeshesSideBySide(t *testing.T) {
	img := buildImage(t)
	files := map[string]string{"pods.yaml": twoPods}
	a := start(t, "lnside-a", img, files)
	b := start(t, "lnside-b", img, files)
	for _, m := range []*mesh{a, b} {
		if out, code := m.get("client", "http://web:8000/"); code != 0 || out != m.pod("web").Name {
			t.Errorf("mesh %s answers %q", m.name, out)
		}
	}
	cfg := config("lnside-a", t.TempDir(), img)
	if err := localnode.Up(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "already run by process") {
		t.Errorf("a second mesh of the same name: %v", err)
	}
}

func TestUpAfterKill(t *testing.T) {
	img := buildImage(t)
	before := leftovers(t)
	killed := runToKill(t, "lnagain", img)
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // it was killed
	m := start(t, "lnagain", img, map[string]string{"pods.yaml": twoPods})
	if out, code := m.get("client", "http://web:8000/"); code != 0 || out != m.pod("web").Name {
		t.Errorf("the second run answers %q, exit code %d", out, code)
	}
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	assertNothingLeft(t, before, "lnagain")
}
