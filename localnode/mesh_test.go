package localnode_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode"
)

// helperEnv makes the test binary run a mesh instead of tests, to be killed.
const helperEnv = "LOCALNODE_TEST_UP"

func TestMain(m *testing.M) {
	if args := os.Getenv(helperEnv); args != "" {
		f := strings.Split(args, "|")
		if err := localnode.Up(context.Background(), config(f[0], f[1], f[2])); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const image = "pilothouse/localnode-test:dev"

func config(mesh, dir, img string) localnode.Config {
	return localnode.Config{
		Name: mesh, Dirs: []string{dir}, Images: []string{img}, PauseImage: image,
		Aliases: map[string]string{"docker.io/istio/alias:1.0": image},
	}
}

// buildImage makes an image with nothing but the test's program, which is its entry point.
func buildImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "app")
	build := exec.Command("go", "build", "-o", bin, "./testdata/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the test's program: %v\n%s", err, out)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return tarOf(bin) })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture = "linux", "amd64"
	cf.Config.Entrypoint = []string{"/app"}
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "image.tar")
	if err := tarball.WriteToFile(file, name.MustParseReference(image), img); err != nil {
		t.Fatal(err)
	}
	return file
}

// mesh is a mesh that the test runs.
type mesh struct {
	t      *testing.T
	name   string
	dir    string
	events chan localnode.Event
	open   *localnode.Mesh
	stop   func() error
}

func start(t *testing.T, meshName, img string, files map[string]string) *mesh {
	t.Helper()
	m := &mesh{t: t, name: meshName, dir: t.TempDir(), events: make(chan localnode.Event, 1000)}
	for f, content := range files {
		m.write(f, content)
	}
	cfg := config(meshName, m.dir, img)
	cfg.Events = func(e localnode.Event) {
		t.Logf("%s %s: %s %s", time.Now().Format("05.000"), meshName, e.Kind, e)
		for _, l := range e.LogTail {
			t.Log("    " + l)
		}
		m.events <- e
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- localnode.Up(ctx, cfg) }()
	stopped := false
	m.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if err := m.stop(); err != nil {
			t.Errorf("Up: %v", err)
		}
	})
	m.wait("the mesh being up", func(e localnode.Event) bool {
		select {
		case err := <-done:
			done <- err
			t.Fatalf("Up ended: %v", err)
		default:
		}
		return e.Kind == localnode.EventUp
	})
	var err error
	if m.open, err = localnode.Open("", meshName); err != nil {
		t.Fatal(err)
	}
	return m
}

// write puts a file into the mesh's directory as a whole.
func (m *mesh) write(file, content string) {
	m.t.Helper()
	tmp := filepath.Join(m.dir, "."+file)
	if err := os.WriteFile(tmp, []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(m.dir, file)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mesh) wait(what string, is func(localnode.Event) bool) localnode.Event {
	m.t.Helper()
	deadline := time.After(40 * time.Second)
	for {
		select {
		case e := <-m.events:
			if is(e) {
				return e
			}
		case <-deadline:
			m.t.Fatalf("%s did not happen", what)
		}
	}
}

// eventually polls what no event tells.
func (m *mesh) eventually(what string, is func() bool) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 20*time.Second)
	defer cancel()
	for !is() {
		select {
		case <-ctx.Done():
			m.t.Fatalf("%s did not happen", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (m *mesh) pod(name string) *corev1.Pod {
	m.t.Helper()
	p, err := m.open.Pod(name)
	if err != nil {
		m.t.Fatal(err)
	}
	return p
}

// exec runs the app in a container and gives what it said.
func (m *mesh) exec(pod, container string, cmd ...string) (string, int) {
	m.t.Helper()
	var out bytes.Buffer
	code, err := m.open.Exec(m.t.Context(), pod, container, append([]string{"/app"}, cmd...), localnode.Streams{Out: &out, Err: &out}, false)
	if err != nil {
		m.t.Fatal(err)
	}
	return out.String(), code
}

func get(url string) (string, error) {
	client := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(b)), err
}

// leftovers is everything that a mesh could leave on the machine.
func leftovers(t *testing.T) []string {
	t.Helper()
	var all []string
	run := func(cmd string, args ...string) {
		out, err := exec.Command(cmd, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", cmd, err, out)
		}
		for _, l := range strings.Split(strings.TrimSpace(string(out)), "\n") {
			all = append(all, cmd+": "+l)
		}
	}
	run("cat", "/proc/mounts")
	run("ip", "netns")
	run("ip", "-o", "link")
	run("ip", "route")
	run("iptables-save")
	run("find", "/sys/fs/cgroup", "-type", "d", "-name", "*pilothouse*")
	for _, d := range []string{"/run", "/var/lib/cni", "/var/lib/containerd", "/opt"} {
		if _, err := os.Stat(d); err == nil {
			run("find", d, "-maxdepth", "2", "-not", "-name", "xtables.lock")
		}
	}
	procs, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		cgroup, _ := os.ReadFile(p) // it may have ended
		cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(p), "cmdline"))
		if len(cmdline) == 0 {
			continue // it has ended, and waits for the machine's init
		}
		all = append(all, fmt.Sprintf("process %s %q %q", filepath.Dir(p), cmdline, cgroup))
	}
	slices.Sort(all)
	return all
}

// assertNothingLeft compares with what was there before. What other meshes on this machine make
// meanwhile does not bear the name; what all meshes share has to go with the last one.
func assertNothingLeft(t *testing.T, before []string, name string) {
	t.Helper()
	_, err := os.Stat(localnode.DefaultStateRoot)
	last := errors.Is(err, fs.ErrNotExist)
	for _, l := range leftovers(t) {
		shared := strings.Contains(l, "containerd") || strings.Contains(l, "/cni") || strings.Contains(l, "netns")
		if (strings.Contains(l, name) || last && shared) && !slices.Contains(before, l) {
			t.Errorf("left behind: %s", l)
		}
	}
}

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

	t.Run("names and addresses", func(t *testing.T) {
		out, _ := m.exec("client", "", "lookup", "web")
		if !strings.HasPrefix(out, "[10.") {
			t.Errorf("web resolves to %s", out)
		}
		for _, host := range []string{"web:8000", "web.default.svc.cluster.local:8000", "web-headless"} {
			if out, code := m.exec("client", "", "get", "http://"+host+"/"); code != 0 || !strings.HasPrefix(out, "web-") {
				t.Errorf("GET %s: exit code %d: %s", host, code, out)
			}
		}
		if out, _ := m.exec("client", "", "lookup", "istiod.istio-system.svc"); !strings.HasPrefix(out, "[10.") {
			t.Errorf("istiod resolves to %s", out)
		}
		began := time.Now()
		if out, _ := m.exec("client", "", "lookup", "example.com"); !strings.Contains(out, "no such host") || time.Since(began) > 2*time.Second {
			t.Errorf("example.com after %v: %s", time.Since(began), out)
		}
	})
	t.Run("what a container sees", func(t *testing.T) {
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
	})
	t.Run("logs", func(t *testing.T) {
		for container, want := range map[string]string{"web": "serving as web-", "first": "hello\n"} {
			var out bytes.Buffer
			if err := m.open.Logs(t.Context(), "web", container, localnode.LogOptions{}, &out); err != nil || !strings.Contains(out.String(), want) {
				t.Errorf("log of %s is %q, %v; want %q", container, &out, err, want)
			}
		}
	})
	t.Run("readiness decides on endpoints", func(t *testing.T) {
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
	})
	t.Run("restart after a crash", func(t *testing.T) {
		p := m.pod("web")
		_, _ = get("http://" + p.Status.PodIP + "/crash")
		e := m.wait("the crash being told", func(e localnode.Event) bool { return strings.Contains(e.Message, "exit code 7") })
		if !slices.Contains(e.LogTail, "crashing as told") {
			t.Errorf("the last lines are %q", e.LogTail)
		}
		m.wait("the pod being ready again", func(e localnode.Event) bool { return e.Kind == localnode.EventReady })
		if n := m.pod("web").Status.ContainerStatuses[0].RestartCount; n != 1 {
			t.Errorf("restart count is %d, want 1", n)
		}
	})
	t.Run("a changed ConfigMap shows in its volume", func(t *testing.T) {
		name := m.pod("web").Name
		m.write("pods.yaml", strings.Replace(twoPods, "greeting: hello", "greeting: goodbye", 1))
		m.eventually("the new greeting", func() bool {
			out, _ := m.exec("web", "web", "cat", "/etc/settings/greeting")
			return out == "goodbye"
		})
		if now := m.pod("web").Name; now != name {
			t.Errorf("pod %s was replaced by %s", name, now)
		}
	})
	t.Run("a change rolls out without a gap", func(t *testing.T) {
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
	})
	began = time.Now()
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	t.Logf("down after %v", time.Since(began))
	assertNothingLeft(t, before, "lntest")
}

func serviceIP(t *testing.T, m *mesh, name string) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := m.open.Exec(t.Context(), "client", "", []string{"/app", "lookup", name}, localnode.Streams{Out: &out}, false); err != nil {
		t.Fatal(err)
	}
	ip, _, _ := strings.Cut(strings.TrimPrefix(out.String(), "["), "]")
	return ip
}

func TestDownAfterKill(t *testing.T) {
	img := buildImage(t)
	before := leftovers(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pods.yaml"), []byte(twoPods), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"=lnkill|"+dir+"|"+img)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := &mesh{t: t}
	m.eventually("a ready pod", func() bool {
		open, err := localnode.Open("", "lnkill")
		if err != nil {
			return false
		}
		p, err := open.Pod("web")
		return err == nil && len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].Ready
	})
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
		if out, code := m.exec("client", "", "get", "http://web:8000/"); code != 0 || strings.TrimSpace(out) != m.pod("web").Name {
			t.Errorf("mesh %s answers %q", m.name, out)
		}
	}
	cfg := config("lnside-a", t.TempDir(), img)
	if err := localnode.Up(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "already run by process") {
		t.Errorf("a second mesh of the same name: %v", err)
	}
}
