package runtime

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Streams of a command; nil ones are not connected. For a terminal they have to be the caller's own.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// execDelay is how long a command has to end after it was told to.
const execDelay = 3 * time.Second

// Exec runs a command in a running container of the containerd in dir, with its streams connected,
// and gives its exit code. It goes through ctr and its pipes, not through CRI's streaming server:
// that one resets its streams when a command ends, and a quick one's output is lost now and then.
func Exec(ctx context.Context, dir, id string, command []string, s Streams, tty bool) (int, error) {
	args := []string{
		"--address", Socket(dir), "--namespace", ctrNamespace,
		"tasks", "exec", "--exec-id", "exec-" + rand.Text(), "--fifo-dir", filepath.Join(dir, "fifo"),
	}
	if tty {
		args = append(args, "--tty")
	}
	cmd := exec.CommandContext(ctx, "ctr", append(append(args, id), command...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.In, s.Out, s.Err
	// ctr passes signals on to the command, which would stay in the container if ctr were killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = execDelay
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("exec %q: %w", command, err)
	}
	return 0, nil
}
