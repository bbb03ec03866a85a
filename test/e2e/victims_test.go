package e2e

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode"
	"github.com/pilothouse-mesh/pilothouse/test/stranger"
)

// victim is a process of a mesh that is to be killed.
type victim struct {
	kind, pod, app string // pod and its label app are empty for the mesh's own
	pid            int
	restarts       int32 // of all of its pod's containers, before
}

func (v victim) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s (%d) %s", v.kind, v.pid, v.pod))
}

// replaced tells whether another process has taken the victim's place.
func (v victim) replaced(mesh string) error {
	all, err := victims(mesh)
	if err != nil {
		return err
	}
	for _, now := range all {
		again := now.restarts > v.restarts || v.pod == "" && now.pid != v.pid
		if now.kind == v.kind && now.pod == v.pod && again {
			return nil
		}
	}
	return fmt.Errorf("%s is not replaced", v)
}

func restarts(p *corev1.Pod) (n int32) {
	for _, cs := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		n += cs.RestartCount
	}
	return n
}

// wait waits until the process is gone.
func (v victim) wait(t testing.TB) {
	t.Helper()
	eventually(t, 10*time.Second, v.String()+" has ended", func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", v.pid))
		if _, after, ok := strings.Cut(string(stat), ") "); err == nil && ok && !strings.HasPrefix(after, "Z") {
			return fmt.Errorf("it runs")
		}
		return nil
	})
}

func readPods(mesh string) ([]*corev1.Pod, error) {
	m, err := localnode.Open("", mesh)
	if err != nil {
		return nil, err
	}
	return m.Pods()
}

// pick chooses a process of the kind.
func (c *chaos) pick(kind string) victim {
	c.t.Helper()
	all, err := victims(c.m.name)
	if err != nil {
		c.t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(v victim) bool { return v.kind != kind })
	if len(all) == 0 {
		c.t.Fatalf("the mesh has no %s", kind)
	}
	return all[c.rand.IntN(len(all))]
}

// victims lists the mesh's processes, in an order that a seed can rely on.
func victims(mesh string) ([]victim, error) {
	pods, err := readPods(mesh)
	if err != nil {
		return nil, err
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	sandboxes := map[string]*corev1.Pod{} // by id
	shims := map[string]int{}
	var all []victim
	for _, d := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(d))
		cmdline, _ := os.ReadFile(filepath.Join(d, "cmdline")) // it may have ended
		cgroup, _ := os.ReadFile(filepath.Join(d, "cgroup"))
		args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
		ours := strings.Contains(string(cmdline), "/run/pilothouse/"+mesh+"/")
		switch program := filepath.Base(args[0]); {
		case program == "pilot-discovery" && ours, program == "containerd" && ours:
			all = append(all, victim{kind: program, pid: pid})
		case strings.HasPrefix(program, "containerd-shim") && ours:
			if i := slices.Index(args, "-id"); i >= 0 && i+1 < len(args) {
				shims[args[i+1]] = pid
			}
		default:
			for _, p := range pods {
				_, id, in := strings.Cut(string(cgroup), "/pod"+string(p.UID)+"/")
				if !in {
					continue
				}
				id, _, _ = strings.Cut(id, "\n")
				v := victim{kind: kindOf(args, p, id), pod: p.Name, app: p.Labels["app"], pid: pid, restarts: restarts(p)}
				if all = append(all, v); v.kind == "pause" {
					sandboxes[id] = p
				}
			}
		}
	}
	for id, p := range sandboxes {
		if pid, ok := shims[id]; ok {
			all = append(all, victim{kind: "shim", pod: p.Name, app: p.Labels["app"], pid: pid, restarts: restarts(p)})
		}
	}
	slices.SortFunc(all, func(a, b victim) int {
		return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(a.pod, b.pod), cmp.Compare(a.pid, b.pid))
	})
	return all, nil
}

// kindOf gives the kind of a pod's process, "" for one in whose place nobody would start another: it
// has ended and waits to be reaped, runs for an exec, or only starts a container.
func kindOf(args []string, p *corev1.Pod, container string) string {
	switch program := filepath.Base(args[0]); {
	case program == "envoy", program == "pause":
		return program
	case program == "pilot-agent":
		if len(args) > 1 && args[1] == "proxy" {
			return program
		}
		return ""
	case args[0] == "", program == "runc":
		return ""
	}
	for _, cs := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if strings.TrimPrefix(cs.ContainerID, "containerd://") == container {
			return "application"
		}
	}
	return ""
}

// assertStrangersReachNothing takes every path of the mesh's directory, with the agents' sockets
// and tokens, and the shims' sockets, and tries each as another user.
func assertStrangersReachNothing(t *testing.T, m *mesh) {
	t.Helper()
	var paths []string
	for _, root := range []string{"/run/pilothouse", "/run/containerd/s"} {
		err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			if path != "/run/containerd/s" { // its list is public, its sockets are not
				paths = append(paths, path)
			}
			if os.IsNotExist(err) {
				return nil
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, must := range []string{"/workload-socket/socket", "/istio-token/istio-token", "/ca-key.pem", "/state/pod_default_"} {
		if !slices.ContainsFunc(paths, func(p string) bool { return strings.Contains(p, must) }) {
			t.Errorf("the mesh has no %s, so nothing was tried", must)
		}
	}
	for _, p := range stranger.Reaches(paths) {
		t.Errorf("another user reaches %s", p)
	}
}
