package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hardMesh lets certificates live for a minute, and sends the pods' DNS to their agents.
const hardMesh = `apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    defaultConfig:
      proxyMetadata:
        SECRET_TTL: 60s
        ISTIO_META_DNS_CAPTURE: "true"
`

// TestResilience keeps 200 requests a second on the mesh while its control plane is killed and
// restarted, while every certificate is renewed, and while the CA's root is rotated to a new key.
func TestResilience(t *testing.T) {
	dir := copyDir(t, filepath.Join(root(t), "samples/bookinfo"))
	if err := os.WriteFile(filepath.Join(dir, "mesh-config.yaml"), []byte(hardMesh), 0o644); err != nil {
		t.Fatal(err)
	}
	m := start(t, "e2e-hard", dir)
	eventually(t, 30*time.Second, "the page", func() error {
		if r := m.get("/productpage"); r.status != http.StatusOK {
			return fmt.Errorf("%d %v", r.status, r.err)
		}
		return nil
	})
	m.assertAgentAnswersDNS(t)
	serials := func() string { return m.secretSerial(t, "productpage-v1") }
	first := serials()
	l := m.startLoad(200, "/api/v1/products/0")
	pid := m.discoveryPID(t)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the control plane is back", func() error {
		if now, err := m.findDiscovery(); err != nil || now == pid {
			return fmt.Errorf("pid %d, %v", now, err)
		}
		return nil
	})
	eventually(t, 30*time.Second, "every proxy is in sync again", func() error {
		out, err := m.try("proxy-status")
		if err == nil && (strings.Count(out, "SYNCED") < 7*4 || strings.Contains(out, "STALE")) {
			err = fmt.Errorf("%s", out)
		}
		return err
	})
	m.write(t, "late.yaml", `apiVersion: v1
kind: Pod
metadata: {name: late, labels: {app: late}}
spec:
  serviceAccountName: bookinfo-productpage
  containers:
    - name: late
      image: docker.io/pilothouse/examples-bookinfo-details-v1:dev
`)
	eventually(t, 40*time.Second, "a pod that was started after the restart reaches the others", func() error {
		out, err := m.try("exec", "late", "-c", "late", "--", "/usr/local/bin/bookinfo", "get", "http://details:9080/details/0")
		if err == nil && !strings.Contains(out, "spiffe://cluster.local/ns/default/sa/bookinfo-productpage") {
			err = fmt.Errorf("answer %.200s", out)
		}
		return err
	})
	// Renewed at half of a minute: two renewals are seen within the load's time.
	seen := map[string]bool{first: true}
	eventually(t, 100*time.Second, "the certificate was renewed twice", func() error {
		if seen[serials()] = true; len(seen) < 3 {
			return fmt.Errorf("%d certificates so far", len(seen))
		}
		return nil
	})
	m.rotateRoot(t)
	l.stop(t, 200*30)
}

// assertAgentAnswersDNS looks names up and reads from the agent's metrics that it was the one asked.
func (m *mesh) assertAgentAnswersDNS(t *testing.T) {
	t.Helper()
	asked := func() string {
		out := m.ctl(t, "exec", "productpage-v1", "-c", "istio-proxy", "--", "/usr/local/bin/pilot-agent", "request", "GET", "metrics", "--debug-port", "15020")
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, "dns_requests_total ") {
				return line
			}
		}
		return ""
	}
	before := asked()
	for _, name := range []string{"reviews", "reviews.default", "reviews.default.svc.cluster.local"} {
		out := m.ctl(t, "exec", "productpage-v1", "-c", "productpage", "--", "/usr/local/bin/bookinfo", "lookup", name)
		if !strings.HasPrefix(out, "10.") {
			t.Errorf("lookup %s by the agent: %q", name, out)
		}
	}
	if after := asked(); after == before {
		t.Errorf("the agent was not asked: %q before and after", before)
	}
}

// secretSerial gives the serial number of the workload's certificate.
func (m *mesh) secretSerial(t *testing.T, pod string) string {
	t.Helper()
	for line := range strings.Lines(m.ctl(t, "proxy-config", "secret", pod)) {
		if f := strings.Fields(line); len(f) > 5 && f[0] == "default" {
			return f[5]
		}
	}
	t.Fatalf("%s has no certificate", pod)
	return ""
}

func (m *mesh) findDiscovery() (int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, d := range dirs {
		data, _ := os.ReadFile(d) // it may have ended since
		args := strings.Split(string(data), "\x00")
		if filepath.Base(args[0]) == "pilot-discovery" && strings.Contains(string(data), "/run/pilothouse/"+m.name+"/") {
			return strconv.Atoi(filepath.Base(filepath.Dir(d)))
		}
	}
	return 0, fmt.Errorf("no pilot-discovery of mesh %s is running", m.name)
}

func (m *mesh) discoveryPID(t *testing.T) int {
	t.Helper()
	pid, err := m.findDiscovery()
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
