package localnode

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/pilothouse-mesh/pilothouse/localnode/network"
	"github.com/pilothouse-mesh/pilothouse/localnode/runtime"
	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

// ErrNoMesh is returned for a mesh that is not there.
var ErrNoMesh = errors.New("there is no such mesh on this machine")

// downTimeout is how long a running mesh has to end by itself.
const downTimeout = 30 * time.Second

// Down takes a mesh down completely: it asks the process that runs it to end, and takes away what
// is left, or everything when that process was killed. root is DefaultStateRoot if empty.
func Down(ctx context.Context, root, name string) error {
	if root == "" {
		root = DefaultStateRoot
	}
	dir, err := state.NewDir(root, name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir.Path()); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("mesh %s: %w", name, ErrNoMesh)
	}
	lock, err := takeOver(ctx, dir)
	if err != nil {
		return err
	}
	return errors.Join(sweep(ctx, dir), lock.Release())
}

// takeOver waits until the process that runs the mesh has ended, and holds its lock.
func takeOver(ctx context.Context, dir state.Dir) (*state.Lock, error) {
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	asked := false
	for {
		lock, err := dir.LockUnnamed() // another Down waits for this one
		held, ok := errors.AsType[state.ErrHeld](err)
		if !ok {
			return lock, err
		}
		if !asked && held.PID > 0 {
			asked = true
			if err := syscall.Kill(held.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
				return nil, fmt.Errorf("ask process %d, which runs mesh %s, to end: %w", held.PID, dir.Name, err)
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("process %d, which runs mesh %s, does not end; kill it and try again: %w", held.PID, dir.Name, ctx.Err())
		case <-tick.C:
		}
	}
}

// sweep takes away everything that the record names. It is right at any stage of a mesh's life.
// Where something cannot be taken away, the directory with the record stays for another try.
func sweep(ctx context.Context, dir state.Dir) error {
	rec, err := dir.ReadRecord()
	if errors.Is(err, fs.ErrNotExist) {
		return dir.Remove()
	}
	ns := namespaceFor(dir)
	if err != nil {
		// What is broken does not keep a mesh from being removed: its names tell most of it.
		rec = state.Record{HostLink: network.HostLink(dir.Name)}
		rec.NetNS, _ = ns.ID()
	}
	err = errors.Join(
		runtime.Sweep(ctx, runtime.Traces{
			Dir: dir.Path("containerd"), Network: ns.Name, MountNS: rec.MountNS, NetNS: rec.NetNS, CgroupParent: cgroupParent(dir.Name),
		}),
		network.DeleteLink(rec.HostLink),
		ns.Delete(),
	)
	if err != nil {
		return fmt.Errorf("%w; `pilotctl down --name %s` tries again", err, dir.Name)
	}
	return dir.Remove()
}

func namespaceFor(dir state.Dir) network.Namespace {
	return network.Namespace{Name: "ph-" + dir.Name, File: dir.Path("netns")}
}

func cgroupParent(name string) string { return "/pilothouse/" + name }
