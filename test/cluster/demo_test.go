package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pilothouse-mesh/pilothouse/ctl/install"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/leftovers"
)

// demoState is where the demonstration keeps its state here, apart from a user's.
const demoState = "/run/pilothouse-test-demo"

// demonstration is a run of the command of `make cluster-demo`, in a process group of its own, as a shell starts it.
type demonstration struct {
	*testing.T
	cmd   *exec.Cmd
	lines chan string // of both outputs, until they end
	ended bool
}

func demonstrate(t *testing.T, program string, args ...string) *demonstration {
	t.Helper()
	d := &demonstration{T: t, lines: make(chan string, 1000)}
	d.cmd = exec.Command(program, append([]string{"--demo", "--state", demoState, "--name", "demo"}, args...)...)
	d.cmd.Dir = root
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	from, to := io.Pipe()
	d.cmd.Stdout, d.cmd.Stderr = to, to
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.lines)
		for s := bufio.NewScanner(from); s.Scan(); {
			d.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		if !d.ended {
			_ = d.interrupt()
		}
		_ = to.Close()
	})
	return d
}

// until gives the rest of a line of the command that begins so.
func (d *demonstration) until(prefix string) string {
	d.Helper()
	deadline := time.After(5 * time.Minute)
	for {
		select {
		case line := <-d.lines:
			d.Log(line)
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest
			}
		case <-deadline:
			d.Fatalf("it never says %q", prefix)
		}
	}
}

// interrupt is what a terminal does at Ctrl-C: all of the group are told. It gives how the command ends.
func (d *demonstration) interrupt() error {
	d.ended = true
	if err := syscall.Kill(-d.cmd.Process.Pid, syscall.SIGINT); err != nil {
		return err
	}
	return d.cmd.Wait()
}

// kill ends the command without a warning; what it runs goes on.
func (d *demonstration) kill() {
	d.Helper()
	d.ended = true
	if err := d.cmd.Process.Kill(); err != nil {
		d.Fatal(err)
	}
	_ = d.cmd.Wait() // it says that it was killed
}

// TestDemo runs the demonstration on two nodes: bookinfo is on both, each call is by mutual TLS, the page is where it
// says, and Ctrl-C leaves nothing. Nor does it in a beginning that takes away what a killed one left.
func TestDemo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("running a cluster needs root")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	program := filepath.Join(t.TempDir(), "cluster")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/cluster").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	before := leftovers.Traces(t, demoState)

	d := demonstrate(t, program, "--nodes", "2")
	kubeconfig := d.until("export KUBECONFIG=")
	url := d.until("the page is at ")
	if err := page(ctx, url); err != nil {
		t.Error(err)
	}
	d.bookinfo(ctx, kubeconfig, url)
	if err := d.interrupt(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	leftovers.AssertNone(t, demoState, before)

	d = demonstrate(t, program)
	d.until("applying the bookinfo sample") // the mesh's own pods run
	d.kill()
	d = demonstrate(t, program)
	d.until("starting node-1") // what the killed one left was taken away before
	_ = d.interrupt()          // the code is that of what did not become ready
	leftovers.AssertNone(t, demoState, before)
	if _, err := os.Stat(demoState); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of the state is left %s: %v", demoState, err)
	}
}

// bookinfo asserts what runs: pods with sidecars on both nodes, which talk where plain text is refused.
func (d *demonstration) bookinfo(ctx context.Context, kubeconfig, url string) {
	d.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		d.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		d.Fatal(err)
	}
	pods, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		d.Fatal(err)
	}
	on := map[string]int{}
	for _, p := range pods.Items {
		on[p.Spec.NodeName]++
		if !slices.ContainsFunc(p.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == model.ProxyContainer }) {
			d.Errorf("%s has no sidecar", p.Name)
		}
	}
	if len(on) != 2 {
		d.Errorf("pods by node: %v", on)
	}
	objects, err := sample(root + "/samples/bookinfo/networking/peer-authentication-strict.yaml")
	if err != nil {
		d.Fatal(err)
	}
	mesh, err := install.Open(config, func(string) {})
	if err != nil {
		d.Fatal(err)
	}
	if err := mesh.Apply(ctx, objects); err != nil {
		d.Fatal(err)
	}
	for _, p := range pods.Items {
		if app := p.Labels["app"]; app == "details" || app == "productpage" {
			if err := poll(ctx, "plain text is refused by "+p.Name, func(ctx context.Context) (bool, error) {
				body, err := fetch(ctx, "http://"+p.Status.PodIP+":9080/health")
				return err != nil && body == "", fmt.Errorf("it answers %.100s", body)
			}); err != nil {
				d.Error(err)
			}
		}
	}
	for range 20 { // so that each version of reviews is called, and all that each calls
		if err := page(ctx, url); err != nil {
			d.Error(err)
		}
	}
}
