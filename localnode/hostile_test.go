package localnode_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/localnode"
	"github.com/pilothouse-mesh/pilothouse/test/stranger"
)

// testStrangers takes every path of the mesh's directory, which a stranger could guess or read from
// /proc/*/cgroup, and tries it as another user.
func testStrangers(t *testing.T, m *mesh) {
	paths := []string{localnode.DefaultStateRoot}
	err := filepath.WalkDir(filepath.Join(localnode.DefaultStateRoot, m.name), func(path string, d fs.DirEntry, err error) error {
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		paths = append(paths, path)
		return nil
	})
	if err != nil || len(paths) < 50 {
		t.Fatalf("%d paths, %v", len(paths), err)
	}
	shims, err := filepath.Glob("/run/containerd/s/*")
	if err != nil || len(shims) == 0 {
		t.Fatalf("no shims: %v", err)
	}
	for _, p := range stranger.Reaches(append(paths, shims...)) {
		t.Errorf("another user reaches %s", p)
	}
}

const hostilePods = `
apiVersion: v1
kind: Service
metadata: {name: system-istio-ingressgateway, namespace: istio}
spec: {selector: {app: x}, ports: [{name: http, port: 9999}]}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec: {selector: {app: y}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: zzz}
spec: {selector: {app: z}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bad-volume}
spec:
  containers: [{name: app, image: pilothouse/localnode-test:dev}]
  volumes: [{name: ../../../../..VICTIM, configMap: {name: settings}}]
---
apiVersion: v1
kind: Pod
metadata: {name: bad-container}
spec: {containers: [{name: ../../../../../../..VICTIM/keep.txt, image: pilothouse/localnode-test:dev}]}
---
apiVersion: v1
kind: Pod
metadata: {name: linker}
spec:
  initContainers:
  - {name: link, image: pilothouse/localnode-test:dev, args: [link, /, /vol/x], securityContext: {runAsUser: 1000}, volumeMounts: [{name: vol, mountPath: /vol}]}
  containers:
  - {name: app, image: pilothouse/localnode-test:dev, volumeMounts: [{name: vol, mountPath: /host, subPath: x}]}
  volumes: [{name: vol, emptyDir: {}}]
---
apiVersion: v1
kind: Pod
metadata: {name: sub}
spec:
  containers:
  - name: app
    image: pilothouse/localnode-test:dev
    volumeMounts:
    - {name: vol, mountPath: /data, subPath: a/b}
    - {name: cm, mountPath: /etc/greeting, subPath: greeting}
  volumes: [{name: vol, emptyDir: {}}, {name: cm, configMap: {name: settings}}]
---
apiVersion: v1
kind: Pod
metadata: {name: host}
spec: {hostNetwork: true, containers: [{name: app, image: pilothouse/localnode-test:dev}]}
---
apiVersion: v1
kind: Pod
metadata: {name: flood}
spec: {containers: [{name: app, image: pilothouse/localnode-test:dev, args: [flood, "100000"]}]}
`

func testHostile(t *testing.T, m *mesh) {
	victim := t.TempDir()
	keep := filepath.Join(victim, "keep.txt")
	if err := os.WriteFile(keep, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.write("hostile.yaml", strings.ReplaceAll(hostilePods, "VICTIM", victim))
	waiting := map[string]string{
		"bad-volume": "spec.volumes[0].name", "bad-container": "spec.containers[0].name", "linker": "links in a volume are not followed",
		"default/host": "ready at", "default/sub": "ready at", "default/flood": "ready at",
	}
	m.wait("each being told of", func(e localnode.Event) bool {
		for name, says := range waiting {
			if strings.Contains(e.Pod, name) && strings.Contains(e.Message, says) {
				delete(waiting, name)
			}
		}
		return len(waiting) == 0
	})
	if b, err := os.ReadFile(keep); err != nil || string(b) != "precious" {
		t.Errorf("the victim's file holds %q, %v", b, err)
	}
	if files, err := os.ReadDir(victim); err != nil || len(files) != 1 {
		t.Errorf("the victim's folder holds %v, %v", files, err)
	}
	for _, file := range []string{"service_istio_system-istio-ingressgateway.yaml", "service_istio-system_istio-ingressgateway.yaml"} {
		if _, err := os.Stat(filepath.Join(localnode.DefaultStateRoot, m.name, "state", file)); err != nil {
			t.Error(err)
		}
	}
	gateway := serviceIP(t, m, "istio-ingressgateway.istio-system.svc.cluster.local")
	if again, err := localnode.Open("", m.name); err != nil || again.GatewayURL() != "http://"+gateway {
		t.Errorf("the gateway is %s, %v, want %s", again.GatewayURL(), err, gateway)
	}
	if out, code := m.exec("sub", "app", "cat", "/etc/greeting"); code != 0 || out != "hello" {
		t.Errorf("a file mounted by subPath: %q", out)
	}
	if out, code := m.exec("sub", "app", "link", "/x", "/data/link"); code != 0 {
		t.Errorf("a directory mounted by subPath is not writable: %s", out)
	}
	testFlood(t, m)
	if err := os.Remove(filepath.Join(m.dir, "hostile.yaml")); err != nil {
		t.Fatal(err)
	}
	m.eventually("the hostile pods being gone", func() bool {
		pods, err := m.open.Pods()
		return err == nil && len(pods) == 3
	})
}

// testFlood looks at the log of a container that has written 100 MB at once.
func testFlood(t *testing.T, m *mesh) {
	dir := filepath.Join(localnode.DefaultStateRoot, m.name, "logs", string(m.pod("flood").UID), "app")
	m.eventually("the last line", func() bool {
		var out bytes.Buffer
		err := m.open.Logs(t.Context(), "flood", "", localnode.LogOptions{Tail: 1}, &out)
		return err == nil && out.String() == "the end\n"
	})
	const bound = 60 << 20 // two parts, and what is written between two looks at a part's size
	size := func() (n int64) {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if info, err := f.Info(); err == nil {
				n += info.Size()
			}
		}
		return n
	}
	m.eventually("the log being rotated", func() bool { return size() < bound })
	t.Logf("the log has %d MB %v", size()>>20, time.Now().Format("05.000"))
	var out bytes.Buffer
	if err := m.open.Logs(t.Context(), "flood", "", localnode.LogOptions{Tail: 2000}, &out); err != nil || strings.Count(out.String(), "\n") != 2000 {
		t.Errorf("the last 2000 lines are %d, %v", strings.Count(out.String(), "\n"), err)
	}
}
