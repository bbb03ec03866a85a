package cluster

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

// processes are the programs of a cluster. The first that ends by itself ends the cluster.
type processes struct {
	failed func(error)

	mu      sync.Mutex
	ending  bool
	running []*process
	wait    sync.WaitGroup
}

// process is one run of a program.
type process struct {
	node    *node
	program string
	args    []string
	cmd     *exec.Cmd
	wanted  bool // its end is; it has the lock of processes
	ended   chan struct{}
}

func newProcesses() *processes { return &processes{failed: func(error) {}} }

// start runs a program in a node's network namespace, with its log beside the node's others.
func (p *processes) start(n *node, program string, args ...string) error {
	name := filepath.Base(program)
	log, err := os.OpenFile(n.log(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// Not `ip netns exec`, which hides the cgroup mounts.
	cmd := exec.Command("nsenter", append([]string{"--net=" + n.ns.File, program}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending {
		return errors.New("the cluster is ending")
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	run := &process{node: n, program: program, args: args, cmd: cmd, ended: make(chan struct{})}
	p.running = append(p.running, run)
	p.wait.Go(func() {
		err := cmd.Wait()
		close(run.ended)
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.ending && !run.wanted {
			p.failed(fmt.Errorf("%s on %s ended: %w; its log ends: %s", name, n.name, err, tail(n.log(name))))
		}
	})
	return nil
}

// restart kills a program without a warning, and starts it again as it was.
func (p *processes) restart(name string) error {
	stopped, err := p.stop(name)
	return cmp.Or(err, p.again(stopped))
}

// stop kills programs without a warning, each on all nodes, and gives how they ran.
func (p *processes) stop(names ...string) ([]*process, error) {
	var stopped []*process
	p.mu.Lock()
	for _, name := range names {
		former := len(stopped)
		p.running = slices.DeleteFunc(p.running, func(r *process) bool {
			if filepath.Base(r.program) != name {
				return false
			}
			r.wanted = true
			_ = r.cmd.Process.Kill() // it may have ended
			stopped = append(stopped, r)
			return true
		})
		if len(stopped) == former {
			p.mu.Unlock()
			return stopped, fmt.Errorf("%s does not run", name)
		}
	}
	p.mu.Unlock()
	for _, r := range stopped {
		<-r.ended
	}
	return stopped, nil
}

// again starts programs as they ran.
func (p *processes) again(stopped []*process) error {
	for _, r := range stopped {
		if err := p.start(r.node, r.program, r.args...); err != nil {
			return err
		}
	}
	return nil
}

// kill ends all of them and waits.
func (p *processes) kill() {
	p.mu.Lock()
	p.ending = true
	for _, run := range p.running {
		_ = run.cmd.Process.Kill() // it may have ended
	}
	p.mu.Unlock()
	p.wait.Wait()
}

// tail gives the last lines of a log.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-5):], []byte("\n")))
}

// tunings are files of the kernel's settings that a cluster changes for the whole machine, with what they were: those
// of kubelets, and the weight of pods.
type tunings map[string]string

// tuningsFile keeps them below the first node's directory, for one who takes down a cluster whose process was killed.
const tuningsFile = "tunings.json"

func recordTunings(first state.Dir) error {
	out := tunings{}
	for _, name := range []string{
		"/proc/sys/vm/overcommit_memory", "/proc/sys/vm/panic_on_oom", "/proc/sys/kernel/panic", "/proc/sys/kernel/panic_on_oops",
		"/proc/sys/kernel/keys/root_maxkeys", "/proc/sys/kernel/keys/root_maxbytes", podsShares, podsWeight,
	} {
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		out[name] = strings.TrimSpace(string(b))
	}
	b, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return state.WriteFile(first.Path(tuningsFile), b)
}

// recordedTunings gives none where no kubelet was started yet.
func recordedTunings(first state.Dir) tunings {
	var out tunings
	if b, err := os.ReadFile(first.Path(tuningsFile)); err == nil {
		_ = json.Unmarshal(b, &out) // it was written as a whole
	}
	return out
}

func (t tunings) restore() error {
	var errs []error
	for name, value := range t {
		if err := os.WriteFile(name, []byte(value), 0o644); !errors.Is(err, fs.ErrNotExist) { // pods' cgroups go with the last pod
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Where the kernel keeps the weight of all pods together, by the version of its cgroups; 1024 and 100 are usual.
const (
	podsShares = "/sys/fs/cgroup/cpu/k8s.io/cpu.shares"
	podsWeight = "/sys/fs/cgroup/k8s.io/cpu.weight"
)

// weighPods has pods weigh as much as 32 busy threads of what else runs.
func weighPods() error {
	file, weight := podsShares, "32768"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		file, weight = podsWeight, "3200"
	}
	if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.WriteFile(file, []byte(weight), 0o644)
}

// The paths of a kubelet that its settings do not move.
const (
	kubeletHome = "/var/lib/kubelet"
	kubeletLogs = "/var/log/containers" // links to the logs of containers
)

// sweepHost takes away what kubelets leave outside of their directories, which are below root.
func sweepHost(root string) error {
	plugins := filepath.Join(kubeletHome, "device-plugins")
	for _, name := range []string{"kubelet.sock", "DEPRECATION", "kubelet_internal_checkpoint"} {
		if err := os.Remove(filepath.Join(plugins, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	links, err := filepath.Glob(kubeletLogs + "/*.log")
	if err != nil {
		return err
	}
	for _, link := range links {
		to, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(to, root+"/") {
			continue // it is somebody else's
		}
		if _, err := os.Stat(link); !errors.Is(err, fs.ErrNotExist) {
			continue // another cluster of ours runs
		}
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	_, _, _ = os.Remove(plugins), os.Remove(kubeletHome), os.Remove(kubeletLogs) // they fail, rightly, where others use them
	return nil
}
