// Package envoy runs the one Envoy of an agent: it starts it with what its bootstrap needs, drains
// it before it ends, and tells how it ended. An Envoy that died is not started again: the pod is
// restarted by whoever runs it, with a clean state and a visible reason.
package envoy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// stopGrace is how long Envoy has to end after SIGTERM, to flush its logs.
const stopGrace = 2 * time.Second

// Config says what to run and how to end it.
type Config struct {
	// Path is Envoy's program.
	Path string
	// Args are its arguments, without the program's name.
	Args []string
	// Late, where it is not nil, gives further arguments when all else is ready. Envoy starts once it returns, which
	// it does early when its context ends.
	Late func(ctx context.Context) []string
	// Env are variables beside the agent's own.
	Env map[string]string
	// Admin is host:port of Envoy's admin interface.
	Admin string
	// Drain is the orderly way to end.
	Drain DrainPolicy
	// Stdout and Stderr are handed to Envoy as they are, so that no copying stands between its
	// access log and the container's.
	Stdout, Stderr *os.File
	Logger         *slog.Logger
}

// Process is one Envoy.
type Process struct {
	cfg     Config
	admin   *admin
	drained atomic.Bool // Drain was asked for: a stop needs no further waiting
}

// New gives a Process that is not started yet.
func New(cfg Config) *Process {
	return &Process{cfg: cfg, admin: newAdmin(cfg.Admin)}
}

// ExitError is the end of an Envoy that nobody asked to end.
type ExitError struct {
	Code   int            // exit code, when it ended by itself
	Signal syscall.Signal // the signal that killed it, else 0
}

// Error implements error.
func (e *ExitError) Error() string {
	if e.Signal == syscall.SIGKILL {
		return "envoy was killed (SIGKILL): by the kernel when memory ran out, or by hand"
	}
	if e.Signal != 0 {
		return fmt.Sprintf("envoy died by itself: %v", e.Signal)
	}
	return fmt.Sprintf("envoy ended by itself with exit code %d; its last log lines say why", e.Code)
}

// ExitCode is Envoy's own exit code, or 128 and the number of the signal, as shells give it.
func (e *ExitError) ExitCode() int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Code
}

// Run starts Envoy and waits for its end. When ctx ends Envoy is drained and stopped; when hurry
// closes it is killed. It returns nil when Envoy was stopped, or ended with code 0 (someone asked its
// admin interface to), an *ExitError when Envoy failed, and another error when it did not start.
func (p *Process) Run(ctx context.Context, hurry <-chan struct{}) error {
	cfg := p.cfg
	if cfg.Late != nil {
		if cfg.Args = slices.Concat(cfg.Args, cfg.Late(ctx)); ctx.Err() != nil {
			return nil
		}
	}
	child, err := start(cfg)
	if err != nil {
		return fmt.Errorf("envoy %s did not start: %w", p.cfg.Path, err)
	}
	p.cfg.Logger.Info("envoy started", "path", p.cfg.Path, "pid", child.pid)
	select {
	case <-child.done:
		return child.fate()
	case <-hurry:
	case <-ctx.Done():
		p.drainBeforeStop(child.done, hurry)
		p.stop(child, hurry)
	}
	child.signal(syscall.SIGKILL)
	<-child.done
	p.cfg.Logger.Info("envoy stopped")
	return nil
}

// stop asks Envoy to end and gives it stopGrace.
func (p *Process) stop(child *child, hurry <-chan struct{}) {
	child.signal(syscall.SIGTERM)
	timer := time.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-child.done:
	case <-hurry:
	case <-timer.C:
		p.cfg.Logger.Warn("envoy did not end in time and is killed", "after", stopGrace)
	}
}

// child is a started program; done closes when it ended and state is set.
type child struct {
	pid   int
	done  chan struct{}
	state *os.ProcessState
	err   error
	proc  *os.Process
}

// start runs the program from a thread of its own: the kernel kills the child when the thread that
// started it ends, so a killed agent leaves no Envoy, and the thread must live as long as the child.
func start(cfg Config) (*child, error) {
	if err := raiseFileLimit(); err != nil {
		cfg.Logger.Warn("open-files limit not raised for envoy", "error", err)
	}
	cmd := exec.Command(cfg.Path, cfg.Args...)
	if len(cfg.Env) > 0 {
		cmd.Env = cmd.Environ()
		for _, name := range slices.Sorted(maps.Keys(cfg.Env)) {
			cmd.Env = append(cmd.Env, name+"="+cfg.Env[name])
		}
	}
	cmd.Stdout, cmd.Stderr = cfg.Stdout, cfg.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		// A Ctrl-C at a terminal reaches the agent alone, which drains first.
		Setpgid: true,
	}
	c := &child{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			c.pid, c.proc = cmd.Process.Pid, cmd.Process
		}
		started <- err
		if err != nil {
			return
		}
		c.err = cmd.Wait()
		c.state = cmd.ProcessState
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// raiseFileLimit sets the soft limit of open files to the hard one. Go does so for itself, but
// gives children the former limit unless it was set explicitly.
func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// signal is harmless after the child's end: os.Process remembers that it was waited for.
func (c *child) signal(s syscall.Signal) {
	_ = c.proc.Signal(s)
}

// fate reads how a child ended that nobody asked to end.
func (c *child) fate() error {
	var exit *exec.ExitError
	if c.err == nil {
		return nil
	}
	if !errors.As(c.err, &exit) {
		return fmt.Errorf("envoy: %w", c.err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return &ExitError{Signal: status.Signal()}
	}
	return &ExitError{Code: exit.ExitCode()}
}
