package pod

import (
	"context"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/runtime"
)

// Logs lie in memory on most machines. A container has the log of its present run and of the one
// before, each in two parts of about this many bytes; a kubelet has five parts of as many.
const (
	maxLog      = 10 << 20
	logInterval = 250 * time.Millisecond // between two looks at its size
)

// logFile is the log of the container's n-th start, counted from 0.
func (n *Node) logFile(p *corev1.Pod, container string, attempt int) string {
	return filepath.Join(n.LogDir(p), LogPath(container, attempt))
}

// dropLog removes the log of a run that nobody can ask for any more.
func (r *Pod) dropLog(u *unit) {
	old := r.node.logFile(r.pod, u.spec.Name, u.attempt-2)
	_ = os.Remove(old) // there may be none
	_ = os.Remove(runtime.Rotated(old))
}

// rotate keeps the log of a running container within its bound, until ctx ends.
func (r *Pod) rotate(ctx context.Context, id, path string) {
	tick := time.NewTicker(logInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		info, err := os.Stat(path)
		if err == nil && info.Size() <= maxLog {
			continue
		}
		if err == nil {
			if err := os.Rename(path, runtime.Rotated(path)); err != nil {
				r.node.Log.Warn("a log is not rotated", "path", path, "error", err)
				continue
			}
		}
		// What is written until then goes to the former part.
		if err := r.node.Runtime.ReopenLog(ctx, id); err != nil && ctx.Err() == nil {
			r.node.Log.Warn("a log is not reopened", "path", path, "error", err)
		}
	}
}
