package localnode_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode"
)

// TestPartsDie kills what a pod and the mesh stand on, one after the other, and wants all of it
// back, with what it had before.
func TestPartsDie(t *testing.T) {
	img := buildImage(t)
	before := leftovers(t)
	m := start(t, "lndeath", img, map[string]string{"pods.yaml": twoPods})
	t.Run("a pause", func(t *testing.T) { testNewSandbox(t, m, pausePID) })
	t.Run("a shim", func(t *testing.T) { testNewSandbox(t, m, shimPID) })
	t.Run("containerd", func(t *testing.T) { testContainerd(t, m) })
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	assertNothingLeft(t, before, "lndeath")
}

// processes gives the ids of processes by a part of their command line and of their cgroup.
func processes(t *testing.T, command, cgroup string) map[int]string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]string{}
	for _, d := range dirs {
		cmdline, _ := os.ReadFile(filepath.Join(d, "cmdline")) // it may have ended
		groups, _ := os.ReadFile(filepath.Join(d, "cgroup"))
		if len(cmdline) > 0 && strings.Contains(string(cmdline), command) && strings.Contains(string(groups), cgroup) {
			pid, _ := strconv.Atoi(filepath.Base(d))
			found[pid] = strings.TrimSpace(string(groups)) + " " + string(cmdline)
		}
	}
	return found
}

// containerIDOf reads the last element of the pod's cgroup in a line of processes.
func containerIDOf(line string, p *corev1.Pod) string {
	_, id, _ := strings.Cut(line, "pod"+string(p.UID)+"/")
	return id[:min(len(id), strings.IndexFunc(id+" ", func(r rune) bool { return r == ' ' || r == '\n' }))]
}

// sandboxOf finds the pod's process that is of none of its containers, and the sandbox's id.
func sandboxOf(t *testing.T, p *corev1.Pod) (pid int, id string) {
	t.Helper()
	for pid, line := range processes(t, "", "pod"+string(p.UID)+"/") {
		id := containerIDOf(line, p)
		of := false
		for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for _, c := range list {
				of = of || strings.TrimPrefix(c.ContainerID, "containerd://") == id
			}
		}
		if !of {
			return pid, id
		}
	}
	t.Fatal("the pod has no sandbox")
	return 0, ""
}

func pausePID(t *testing.T, p *corev1.Pod) int {
	pid, _ := sandboxOf(t, p)
	return pid
}

func shimPID(t *testing.T, p *corev1.Pod) int {
	_, id := sandboxOf(t, p)
	for pid := range processes(t, "containerd-shim", "") {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.Contains(string(cmdline), id) {
			return pid
		}
	}
	t.Fatal("the pod has no shim")
	return 0
}

func testNewSandbox(t *testing.T, m *mesh, victim func(*testing.T, *corev1.Pod) int) {
	was := m.pod("web")
	if err := syscall.Kill(victim(t, was), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	m.wait("the loss being told", func(e localnode.Event) bool { return strings.Contains(e.Message, "sandbox ended") })
	m.wait("the pod being ready again", func(e localnode.Event) bool { return e.Kind == localnode.EventReady })
	t.Logf("ready again after %v", time.Since(began))
	now := m.pod("web")
	if now.UID != was.UID || now.Status.PodIP == "" {
		t.Errorf("the pod is %s at %q, and was %s", now.UID, now.Status.PodIP, was.UID)
	}
	for i, c := range now.Status.ContainerStatuses {
		if old := was.Status.ContainerStatuses[i]; c.RestartCount <= old.RestartCount || c.LastTerminationState.Terminated == nil {
			t.Errorf("container %s was restarted %d times, and %d before", c.Name, c.RestartCount, old.RestartCount)
		}
	}
	vip := serviceIP(t, m, "web")
	if out, err := get("http://" + vip + ":8000/"); err != nil || out != now.Name {
		t.Errorf("its Service answers %q, %v", out, err)
	}
	if out, code := m.exec("web", "web", "cat", "/var/run/secrets/tokens/istio-token"); code != 0 {
		t.Errorf("its volumes are gone: %s", out)
	}
	ids := map[string]bool{}
	for _, line := range processes(t, "", "pod"+string(now.UID)+"/") {
		ids[containerIDOf(line, now)] = true
	}
	if len(ids) != 3 {
		t.Errorf("the pod has processes of %d containers, want the sandbox, the sidecar and the application", len(ids))
	}
	// The former sandbox is gone with its address.
	leases, err := filepath.Glob("/run/pilothouse/lndeath/containerd/ipam/*/10.*")
	if err != nil || len(leases) != 3 {
		t.Errorf("addresses in use are %v, %v; want one for each pod", leases, err)
	}
}

// testContainerd kills containerd under traffic, and wants it to work again for what is new.
func testContainerd(t *testing.T, m *mesh) {
	vip := serviceIP(t, m, "web")
	was := m.pod("web")
	const conf = "/run/pilothouse/lndeath/containerd/config.toml"
	for range 2 {
		for pid := range processes(t, conf, "") {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		m.wait("the death being told", func(e localnode.Event) bool { return strings.Contains(e.Message, "containerd ended") })
		for until := time.Now().Add(time.Second); time.Now().Before(until); {
			if _, err := get("http://" + vip + ":8000/"); err != nil {
				t.Fatalf("a request failed: %v", err)
			}
		}
	}
	if now := m.pod("web"); now.Status.ContainerStatuses[0].ContainerID != was.Status.ContainerStatuses[0].ContainerID {
		t.Error("the container was started again, though only containerd had died")
	}
	if out, code := m.exec("web", "web", "env", "IP"); code != 0 {
		t.Errorf("exec in a pod from before: %s", out)
	}
	testRestart(t, m)
	testRollout(t, m)
}

// TestNamespaceAddedByOthers lets `ip netns add` mount the directory of namespaces over itself, as
// it does at its first use on a machine, here in a mount namespace of its own.
func TestNamespaceAddedByOthers(t *testing.T) {
	img := buildImage(t)
	before := leftovers(t)
	cmd := runToKill(t, "lnnetns", img, "unshare", "--mount", "--propagation", "private")
	inside := func(args ...string) {
		t.Helper()
		args = append([]string{"--target", strconv.Itoa(cmd.Process.Pid), "--mount"}, args...)
		if out, err := exec.Command("nsenter", args...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
	inside("ip", "netns", "add", "lnnetns-other")
	inside("ip", "netns", "exec", "ph-lnnetns", "ip", "link", "show", "host0")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the mesh did not end well: %v", err)
	}
	// The other namespace's file is in the directory that both mount namespaces show.
	if err := os.Remove("/run/netns/lnnetns-other"); err != nil {
		t.Error(err)
	}
	_ = os.Remove("/run/netns") // as it was; others may have theirs in it
	assertNothingLeft(t, before, "lnnetns")
}
