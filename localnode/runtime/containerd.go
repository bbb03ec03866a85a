// Package runtime drives the container runtime of a mesh: a private containerd, its images, and
// pods and containers over CRI. It knows CRI's messages and nothing of probes or restarts.
package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/pilothouse-mesh/pilothouse/localnode/network"
	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

// PluginDir is where Debian keeps the CNI plugins.
const PluginDir = "/usr/lib/cni"

// Options of a private containerd.
type Options struct {
	Dir        string            // its own directory
	Namespace  network.Namespace // the network namespace that it and its pods' links are in
	Plan       network.Plan
	PauseImage string
	// Started is told containerd's mount namespace as /proc names it, before it has made anything
	// in there; its shims will be in it as well.
	Started func(mountNS string) error
}

// Containerd is a running private containerd.
type Containerd struct {
	opts    Options
	cmd     *exec.Cmd
	done    chan struct{}
	waitErr error
}

// Everything that containerd would put elsewhere is led into its own directory.
var configTemplate = template.Must(template.New("config").Parse(`version = 2
root = "{{.Dir}}/root"
state = "{{.Dir}}/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "{{.Dir}}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{{.Dir}}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{{.PauseImage}}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  enable_unprivileged_ports = true
  netns_mounts_under_state_dir = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{{.PluginDir}}"
    conf_dir = "{{.Dir}}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
      Root = "{{.Dir}}/runc"
`))

// Socket is containerd's address below its directory.
func Socket(dir string) string { return filepath.Join(dir, "containerd.sock") }

// Start writes containerd's configuration and starts it in the namespace, with a mount namespace
// of its own: what it and its shims mount ends with the last of them. It returns when CRI answers.
func Start(ctx context.Context, opts Options) (*Containerd, error) {
	for _, d := range []string{".", "root", "state", "cni", "opt"} {
		if err := state.Private(filepath.Join(opts.Dir, d)); err != nil {
			return nil, fmt.Errorf("make containerd's directory: %w", err)
		}
	}
	conf, err := writeConfig(opts)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(logFile(opts.Dir))
	if err != nil {
		return nil, fmt.Errorf("make containerd's log: %w", err)
	}
	defer log.Close()
	// nsenter and unshare exec what follows, so the process keeps its id. Not `ip netns exec`,
	// which hides the cgroup mounts. The process has to outlive ctx: its pods are stopped first.
	cmd := exec.Command("nsenter", "--net="+opts.Namespace.Path(), "unshare", "--mount", "--propagation", "slave",
		"containerd", "--config", conf)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	c := &Containerd{opts: opts, cmd: cmd, done: make(chan struct{})}
	go func() {
		c.waitErr = cmd.Wait()
		close(c.done)
	}()
	if err := c.announce(ctx); err != nil {
		return nil, errors.Join(err, c.Kill())
	}
	if err := c.waitReady(ctx); err != nil {
		return nil, errors.Join(err, c.Kill())
	}
	return c, nil
}

// announce waits until the process is in its own mount namespace and tells which one it is.
func (c *Containerd) announce(ctx context.Context) error {
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return fmt.Errorf("read our mount namespace: %w", err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", c.cmd.Process.Pid))
		if err != nil {
			return fmt.Errorf("read containerd's mount namespace: %w", err)
		}
		if ns != own {
			return c.opts.Started(ns)
		}
		select {
		case <-c.done:
			return c.Err()
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func writeConfig(opts Options) (string, error) {
	var b bytes.Buffer
	err := configTemplate.Execute(&b, struct {
		Options
		PluginDir string
	}{opts, PluginDir})
	if err != nil {
		return "", fmt.Errorf("write containerd's configuration: %w", err)
	}
	path := filepath.Join(opts.Dir, "config.toml")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		return "", fmt.Errorf("write containerd's configuration: %w", err)
	}
	cni, err := opts.Plan.CNIConfig(opts.Namespace.Name, filepath.Join(opts.Dir, "ipam"))
	if err != nil {
		return "", fmt.Errorf("write the pods' network configuration: %w", err)
	}
	return path, os.WriteFile(filepath.Join(opts.Dir, "cni", "10-mesh.conflist"), cni, 0o600)
}

func logFile(dir string) string { return filepath.Join(dir, "containerd.log") }

const startTimeout = 30 * time.Second

func (c *Containerd) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client, err := Dial(c.opts.Dir)
	if err != nil {
		return err
	}
	defer client.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := client.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.done:
			return c.Err()
		case <-ctx.Done():
			return fmt.Errorf("containerd is not ready: %w", err)
		case <-tick.C:
		}
	}
}

func lastLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// Done is closed when the process has ended.
func (c *Containerd) Done() <-chan struct{} { return c.done }

// Err says that containerd ended on its own, and the last line of its log.
func (c *Containerd) Err() error {
	return fmt.Errorf("containerd ended: %w; its log says: %s", c.waitErr, lastLine(logFile(c.opts.Dir)))
}

// Kill ends the process. Shims and containers are left to Sweep.
func (c *Containerd) Kill() error {
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill containerd: %w", err)
	}
	<-c.done
	return nil
}
