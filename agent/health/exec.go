package health

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

const (
	// pipeDelay is how long a command's output is read on after the command has ended or was killed: what it
	// started may hold the pipe.
	pipeDelay = time.Second
	// outputKept is how many bytes of what a command prints are kept, to tell why it failed.
	outputKept = 200
)

// run runs a command, which is a success with exit code 0. When ctx ends the command is killed with all that it
// has started, so that run returns at most pipeDelay later.
func run(ctx context.Context, command []string) error {
	var out head
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = pipeDelay
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, exec.ErrWaitDelay):
		// The command is a success. What it has left behind goes: the next probe would leave another.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return nil
	}
	return fmt.Errorf("%s: %w: %s", command[0], err, out.kept)
}

// head keeps the first outputKept bytes that are written to it.
type head struct{ kept []byte }

func (h *head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), outputKept-len(h.kept))]...)
	return len(p), nil
}
