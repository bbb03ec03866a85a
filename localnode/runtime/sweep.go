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
	CgroupParent string // e.g. /pilothouse/NAME
}

const sweepTimeout = 20 * time.Second

// Sweep kills every process of the mesh and removes what they leave outside of its directory:
// cgroups, the shims' sockets and CNI's cache. It is complete after a kill -9 of everything.
func Sweep(ctx context.Context, t Traces) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	sockets, cached := shimSockets(t.Dir), cniCache(t)
	if err := killAll(ctx, t); err != nil {
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
	return removeCgroups(ctx, t.CgroupParent)
}

// KillCgroup ends what is left in a cgroup and below it: processes outlive their shim, and what
// containerd does about that may come too late.
func (c *Client) KillCgroup(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	return killAll(ctx, Traces{CgroupParent: path})
}

// killAll kills until a look at /proc finds none: a shim may have been starting a process.
func killAll(ctx context.Context, t Traces) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		pids, err := processes(t)
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

// processes finds the mesh's processes that are not ended: by mount namespace, network namespace
// and cgroup.
func processes(t Traces) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && pid != os.Getpid() && t.owns(pid) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// owns reads what a process left in /proc; what cannot be read any more has ended.
func (t Traces) owns(pid int) bool {
	for ns, want := range map[string]string{"mnt": t.MountNS, "net": t.NetNS} {
		if want == "" {
			continue
		}
		if got, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, ns)); err == nil && got == want {
			return true
		}
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil || !strings.Contains(string(b), ":"+t.CgroupParent+"/") {
		return false
	}
	// A zombie keeps its cgroup until its parent has waited for it.
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, ok := strings.Cut(string(stat), ") ")
	return err == nil && ok && !strings.HasPrefix(after, "Z")
}

// shimSocket is where the shim of a sandbox listens; the name is containerd's. One that was killed
// leaves it behind.
func shimSocket(dir, sandbox string) string {
	return fmt.Sprintf("/run/containerd/s/%x", sha256.Sum256([]byte(filepath.Join(Socket(dir), ctrNamespace, sandbox))))
}

// shimSockets gives where the shims of all containers listen, and where those of sandboxes did.
func shimSockets(dir string) []string {
	files, err := filepath.Glob(filepath.Join(dir, "state", "io.containerd.runtime.v2.task", ctrNamespace, "*", "address"))
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

// removeCgroups removes the mesh's tree of cgroups from every hierarchy, and the parent of all
// meshes when it was the last one. The kernel frees a cgroup a moment after its last process.
func removeCgroups(ctx context.Context, parent string) error {
	const root = "/sys/fs/cgroup"
	hierarchies, err := filepath.Glob(filepath.Join(root, "*", parent))
	if err != nil {
		return err
	}
	for _, tree := range append(hierarchies, filepath.Join(root, parent)) {
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
