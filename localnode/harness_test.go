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
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode"
)

// helperEnv makes the test binary run a mesh instead of tests, to be killed or interrupted.
const helperEnv = "LOCALNODE_TEST_UP"

func TestMain(m *testing.M) {
	if args := os.Getenv(helperEnv); args != "" {
		f := strings.Split(args, "|")
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT)
		defer stop()
		if err := localnode.Up(ctx, config(f[0], f[1], f[2])); err != nil {
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
		Aliases: func() (map[string]string, error) { return map[string]string{"docker.io/istio/alias:1.0": image}, nil },
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
	deadline := time.After(2 * time.Minute)
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

// get asks for a URL in a pod. An answer of nothing at all was seen once, on a busy machine, where what ran was well:
// the containerd client lost the output. So it is asked again.
func (m *mesh) get(pod, url string) (string, int) {
	m.t.Helper()
	for {
		out, code := m.exec(pod, "", "get", url)
		if out != "" || code != 0 || m.t.Context().Err() != nil {
			return strings.TrimSpace(out), code
		}
		m.t.Logf("exec in %s gave nothing", pod)
	}
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

func serviceIP(t *testing.T, m *mesh, name string) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := m.open.Exec(t.Context(), "client", "", []string{"/app", "lookup", name}, localnode.Streams{Out: &out}, false); err != nil {
		t.Fatal(err)
	}
	ip, _, _ := strings.Cut(strings.TrimPrefix(out.String(), "["), "]")
	return ip
}

// runToKill runs a mesh in a process of its own until its pod is ready; enter is a program with
// arguments that becomes that process.
func runToKill(t *testing.T, name, img string, enter ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pods.yaml"), []byte(twoPods), 0o644); err != nil {
		t.Fatal(err)
	}
	args := append(enter, os.Args[0])
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), helperEnv+"="+name+"|"+dir+"|"+img)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := &mesh{t: t}
	m.eventually("a ready pod", func() bool {
		open, err := localnode.Open("", name)
		if err != nil {
			return false
		}
		p, err := open.Pod("web")
		return err == nil && len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].Ready
	})
	return cmd
}
