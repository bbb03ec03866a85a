package runtime

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Traces are the marks by which a mesh's processes and leftovers are known. They hold whatever
// the process ids are by now, and whoever the parents are.
type Traces struct {
	Dir          string // containerd's directory
	Network      string // the name of the pods' CNI network
	MountNS      string // containerd's and the shims' mount namespace; "" where unknown
	NetNS        string // the mesh's network namespace; "" where unknown
	CgroupParent string // of the pods that name one, e.g. /pilothouse/NAME
}

const sweepTimeout = 20 * time.Second

// Sweep kills every process of the mesh and removes what they leave outside of its directory:
// cgroups, the shims' sockets and CNI's cache. It is complete after a kill -9 of everything.
func Sweep(ctx context.Context, t Traces) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	sockets, cached := shimSockets(t.Dir), cniCache(t)
	// First who starts others and takes them away: then what containerd keeps of its tasks stays as it is.
	if err := killAll(ctx, t.startsOthers); err != nil {
		return err
	}
	cgroups := append(taskCgroups(t.Dir), t.CgroupParent)
	if err := killAll(ctx, func(pid int) bool { return isIn(pid, cgroups) }); err != nil {
		return err
	}
	for _, s := range sockets {
		_ = os.Remove(s) // most are gone with their shims
	}
	for _, c := range cached {
		if err := os.Remove(c); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove CNI's cache: %w", err)
		}
	}
	// Directories that others use as well go only when they are empty.
	for _, d := range []string{"/run/containerd/s", "/run/containerd", "/var/lib/cni/results", "/var/lib/cni"} {
		_ = os.Remove(d)
	}
	for _, c := range cgroups {
		if err := removeCgroups(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// KillCgroup ends what is left in a cgroup and below it: processes outlive their shim, and what
// containerd does about that may come too late.
func (c *Client) KillCgroup(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	return killAll(ctx, func(pid int) bool { return isIn(pid, []string{path}) })
}

// killAll kills the mesh's processes until a look at /proc finds none: a shim may have been starting one.
func killAll(ctx context.Context, owns func(pid int) bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		pids, err := processes(owns)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("processes %v of the mesh do not end: %w", pids, ctx.Err())
		case <-tick.C:
		}
	}
}

// processes finds the mesh's processes that are not ended.
func processes(owns func(pid int) bool) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && pid != os.Getpid() && owns(pid) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// startsOthers tells by its namespaces whether a process is containerd, a shim, or one that runs beside them. What
// cannot be read in /proc any more has ended.
func (t Traces) startsOthers(pid int) bool {
	for ns, want := range map[string]string{"mnt": t.MountNS, "net": t.NetNS} {
		if want == "" {
			continue
		}
		if got, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, ns)); err == nil && got == want {
			return true
		}
	}
	return false
}

// isIn tells whether a process is in one of the cgroups or below it.
func isIn(pid int, cgroups []string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	below := strings.ReplaceAll(string(b), "\n", "/") // so that a cgroup's own processes are as those below it
	if err != nil || !slices.ContainsFunc(cgroups, func(c string) bool { return strings.Contains(below, ":"+c+"/") }) {
		return false
	}
	// A zombie keeps its cgroup until its parent has waited for it.
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, ok := strings.Cut(string(stat), ") ")
	return err == nil && ok && !strings.HasPrefix(after, "Z")
}

// tasks is where containerd keeps a folder for each container and sandbox that it runs.
func tasks(dir string) string {
	return filepath.Join(dir, "state", "io.containerd.runtime.v2.task", ctrNamespace)
}

// taskCgroups gives the cgroups that containerd chooses by itself, for pods that name no parent: those of a kubelet
// that leaves the machine's cgroups alone.
func taskCgroups(dir string) []string {
	ids, err := filepath.Glob(filepath.Join(tasks(dir), "*"))
	if err != nil {
		return nil
	}
	var out []string
	for _, id := range ids {
		out = append(out, filepath.Join("/", ctrNamespace, filepath.Base(id)))
	}
	return out
}

// shimSocket is where the shim of a sandbox listens; the name is containerd's. One that was killed
// leaves it behind.
func shimSocket(dir, sandbox string) string {
	return fmt.Sprintf("/run/containerd/s/%x", sha256.Sum256([]byte(filepath.Join(Socket(dir), ctrNamespace, sandbox))))
}

// shimSockets gives where the shims of all containers listen, and where those of sandboxes did.
func shimSockets(dir string) []string {
	files, err := filepath.Glob(filepath.Join(tasks(dir), "*", "address"))
	if err != nil {
		return nil
	}
	var sockets []string
	for _, id := range sandboxIDs(dir) {
		sockets = append(sockets, shimSocket(dir, id))
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil {
			sockets = append(sockets, strings.TrimPrefix(strings.TrimSpace(string(b)), "unix://"))
		}
	}
	return sockets
}

// sandboxIDs gives the sandboxes that containerd keeps something of.
func sandboxIDs(dir string) []string {
	sandboxes, err := filepath.Glob(filepath.Join(dir, "*", "io.containerd.grpc.v1.cri", "sandboxes", "*"))
	if err != nil {
		return nil
	}
	var ids []string
	for _, s := range sandboxes {
		ids = append(ids, filepath.Base(s))
	}
	return ids
}

// cniCache finds what CNI keeps of the pods' networks: by our network's name, and by the sandboxes'
// ids for their loopback, which bears the same name in every containerd of the machine.
func cniCache(t Traces) []string {
	patterns := []string{t.Network + "-*"}
	for _, id := range sandboxIDs(t.Dir) {
		patterns = append(patterns, "*-"+id+"-*")
	}
	var files []string
	for _, p := range patterns {
		if found, err := filepath.Glob("/var/lib/cni/results/" + p); err == nil {
			files = append(files, found...)
		}
	}
	return files
}

// removeCgroups removes a tree of the mesh's cgroups from every hierarchy, and the parent of all
// meshes' when it was the last one. The kernel frees a cgroup a moment after its last process.
func removeCgroups(ctx context.Context, cgroup string) error {
	const root = "/sys/fs/cgroup"
	hierarchies, err := filepath.Glob(filepath.Join(root, "*", cgroup))
	if err != nil {
		return err
	}
	for _, tree := range append(hierarchies, filepath.Join(root, cgroup)) {
		if err := removeTree(ctx, tree); err != nil {
			return fmt.Errorf("remove cgroup %s: %w", tree, err)
		}
		_ = os.Remove(filepath.Dir(tree)) // fails, rightly, while other meshes are there
	}
	return nil
}

func removeTree(ctx context.Context, tree string) error {
	var dirs []string
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, d := range slices.Backward(dirs) {
		for {
			err := os.Remove(d)
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				break
			}
			if !errors.Is(err, syscall.EBUSY) {
				return err
			}
			select {
			case <-ctx.Done():
				return err
			case <-tick.C:
			}
		}
	}
	return nil
}
