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

// Containerd is a private containerd, which is started again when it ends.
type Containerd struct {
	opts Options
	// mounts is the mount namespace of the first process. Later ones join it, for what containers
	// run on is mounted there.
	mounts *os.File
	proc   *process
	client *Client
}

// process is one run of containerd.
type process struct {
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
func Socket(dir string) string { return filepath.Join(dir, socketName) }

const socketName = "containerd.sock"

// Start writes containerd's configuration and starts it in the namespace, with a mount namespace
// of its own: what it and its shims mount ends with the last of them. It returns when CRI answers.
func Start(ctx context.Context, opts Options) (*Containerd, error) {
	for _, d := range []string{".", "root", "state", "cni", "opt"} {
		if err := state.Private(filepath.Join(opts.Dir, d)); err != nil {
			return nil, fmt.Errorf("make containerd's directory: %w", err)
		}
	}
	if err := writeConfig(opts); err != nil {
		return nil, err
	}
	client, err := Dial(opts.Dir)
	if err != nil {
		return nil, err
	}
	c := &Containerd{opts: opts, client: client}
	err = c.launch("unshare", "--mount", "--propagation", "slave")
	if err == nil {
		err = c.announce(ctx)
	}
	if err == nil {
		err = c.waitReady(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// launch starts a process by the program enter, which goes into a mount namespace and becomes
// containerd.
func (c *Containerd) launch(enter ...string) error {
	log, err := os.OpenFile(LogFile(c.opts.Dir), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open containerd's log: %w", err)
	}
	defer log.Close()
	// nsenter and unshare exec what follows, so the process keeps its id. Not `ip netns exec`,
	// which hides the cgroup mounts. The process has to outlive ctx: its pods are stopped first.
	args := append([]string{"--net=" + c.opts.Namespace.File}, enter...)
	cmd := exec.Command("nsenter", append(args, "containerd", "--config", configFile(c.opts.Dir))...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start containerd: %w", err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.waitErr = cmd.Wait()
		close(p.done)
	}()
	c.proc = p
	return nil
}

// The pause before containerd is started again: none after a long run, then doubled.
const (
	restartBase = 250 * time.Millisecond
	restartMax  = 10 * time.Second
	longRun     = 10 * time.Second
)

// Supervise starts containerd again whenever it ends, until ctx does. Shims and containers outlive
// it, and the new one takes them over. died is told each time, with what the log says.
func (c *Containerd) Supervise(ctx context.Context, died func(error)) {
	for pause := time.Duration(0); ; {
		began := time.Now()
		select {
		case <-c.proc.done:
		case <-ctx.Done():
			return
		}
		if time.Since(began) >= longRun {
			pause = 0
		}
		died(c.err())
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(max(2*pause, restartBase), restartMax)
		if err := c.restart(ctx); err != nil && ctx.Err() == nil {
			died(err)
		}
	}
}

func (c *Containerd) restart(ctx context.Context) error {
	// The namespace is named by our file, not handed on: containers must not inherit it.
	if err := c.launch(fmt.Sprintf("--mount=/proc/%d/fd/%d", os.Getpid(), c.mounts.Fd())); err != nil {
		return err
	}
	return c.waitReady(ctx)
}

// announce waits until the process is in its own mount namespace, keeps that open and tells which
// one it is.
func (c *Containerd) announce(ctx context.Context) error {
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return fmt.Errorf("read our mount namespace: %w", err)
	}
	path := fmt.Sprintf("/proc/%d/ns/mnt", c.proc.cmd.Process.Pid)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		ns, err := os.Readlink(path)
		if err != nil {
			return fmt.Errorf("read containerd's mount namespace: %w", err)
		}
		if ns != own {
			if c.mounts, err = os.Open(path); err != nil {
				return fmt.Errorf("open containerd's mount namespace: %w", err)
			}
			return c.opts.Started(ns)
		}
		select {
		case <-c.proc.done:
			return c.err()
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func configFile(dir string) string { return filepath.Join(dir, "config.toml") }

func writeConfig(opts Options) error {
	var b bytes.Buffer
	err := configTemplate.Execute(&b, struct {
		Options
		PluginDir string
	}{opts, PluginDir})
	if err != nil {
		return fmt.Errorf("write containerd's configuration: %w", err)
	}
	if err := os.WriteFile(configFile(opts.Dir), b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write containerd's configuration: %w", err)
	}
	cni, err := opts.Plan.CNIConfig(opts.Namespace.Name, filepath.Join(opts.Dir, "ipam"))
	if err != nil {
		return fmt.Errorf("write the pods' network configuration: %w", err)
	}
	return os.WriteFile(filepath.Join(opts.Dir, "cni", "10-mesh.conflist"), cni, 0o600)
}

// LogFile is containerd's log below its directory.
func LogFile(dir string) string { return filepath.Join(dir, "containerd.log") }

const startTimeout = 30 * time.Second

func (c *Containerd) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.client.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.proc.done:
			return c.err()
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

// Client speaks CRI to it, whichever run it is in.
func (c *Containerd) Client() *Client { return c.client }

// err says that containerd ended on its own, and the last line of its log.
func (c *Containerd) err() error {
	return fmt.Errorf("containerd ended: %w; its log says: %s", c.proc.waitErr, lastLine(LogFile(c.opts.Dir)))
}

// Close kills the process; nobody may be in Supervise. Shims and containers are left to Sweep.
func (c *Containerd) Close() error {
	errs := []error{c.client.Close()}
	if c.proc != nil {
		if err := c.proc.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, fmt.Errorf("kill containerd: %w", err))
		}
		<-c.proc.done
	}
	if c.mounts != nil {
		errs = append(errs, c.mounts.Close())
	}
	return errors.Join(errs...)
}
