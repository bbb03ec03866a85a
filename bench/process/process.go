// Package process runs a server as a process of its own and measures what it uses: CPU time as
// the kernel accounts for it, and memory with that of its sockets where a cgroup can be made.
package process

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a running program.
type Process struct {
	cmd    *exec.Cmd
	group  *cgroup // nil where none could be made
	exited chan struct{}
}

// Start runs a program with its output in a file, until Stop or the end of ctx.
func Start(ctx context.Context, output string, program string, args ...string) (*Process, error) {
	log, err := os.OpenFile(output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own
	p := &Process{cmd: exec.CommandContext(ctx, program, args...), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p.group = newCgroup(p.cmd.Process.Pid)
	go func() {
		_ = p.cmd.Wait() // Fate tells how it ended
		close(p.exited)
	}()
	return p, nil
}

// Exited is closed when the program has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Fate says how a program that has ended did so: "exit status 1" for example.
func (p *Process) Fate() string { return p.cmd.ProcessState.String() }

// Stop ends the program and waits for that: by SIGTERM, or by SIGKILL as a crash would.
func (p *Process) Stop(crash bool) {
	signal := syscall.SIGTERM
	if crash {
		signal = syscall.SIGKILL
	}
	_ = p.cmd.Process.Signal(signal) // it has ended already where this fails
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	p.group.remove()
}

// CPU gives the CPU time that the program has used, user and system, as /proc/PID/stat has it but
// in nanoseconds.
func (p *Process) CPU() (time.Duration, error) {
	// The clock of a process: its negated ID above three bits that say "scheduler's time".
	clock := int32(^p.cmd.Process.Pid)<<3 | 2
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", p.cmd.Process.Pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// Memory is what a program holds, in bytes.
type Memory struct {
	RSS, PeakRSS int64
	// Those of the cgroup count sockets' buffers and page tables too; 0 where there is none.
	Cgroup, PeakCgroup int64
}

// Memory reads the program's memory.
func (p *Process) Memory() (Memory, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return Memory{}, err
	}
	defer f.Close()
	m := Memory{Cgroup: p.group.use(), PeakCgroup: p.group.peak()}
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "VmRSS":
			m.RSS = kb << 10
		case "VmHWM":
			m.PeakRSS = kb << 10
		}
	}
	return m, nil
}
