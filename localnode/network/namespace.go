package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namedDir is where iproute2 keeps named network namespaces.
const namedDir = "/run/netns"

// Namespace is a named network namespace of this machine. It is mounted in its owner's own directory,
// and has its name by a link to there. The first `ip netns add` on a machine mounts the directory of
// names over itself, and what was mounted in it before could not be removed any more.
type Namespace struct {
	Name string // for `ip netns exec`
	File string // where it is mounted
}

func (n Namespace) link() string { return filepath.Join(namedDir, n.Name) }

// Taken tells whether the machine has a namespace of that name.
func (n Namespace) Taken() bool {
	_, err := os.Lstat(n.link())
	return err == nil
}

// Create makes the namespace; it fails when there is one of that name.
func (n Namespace) Create() error {
	if err := os.WriteFile(n.File, nil, 0o600); err != nil {
		return fmt.Errorf("make network namespace %s: %w", n.Name, err)
	}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return unix.Mount(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), n.File, "", unix.MS_BIND, "")
	})
	if err == nil {
		err = errors.Join(os.MkdirAll(namedDir, 0o755), os.Symlink(n.File, n.link()))
	}
	if err != nil {
		return fmt.Errorf("make network namespace %s: %w", n.Name, err)
	}
	return nil
}

// Delete removes the namespace's name and its file, and the directory of names when it was the last
// one. The kernel frees the namespace when no process and no socket is left in it. What is gone
// already is none to remove.
func (n Namespace) Delete() error {
	if err := n.unlink(); err != nil {
		return fmt.Errorf("delete network namespace %s: %w", n.Name, err)
	}
	_ = os.Remove(namedDir) // fails, rightly, while other namespaces are there
	err := unix.Unmount(n.File, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, fs.ErrNotExist) { // EINVAL: not mounted
		return fmt.Errorf("unmount network namespace %s: %w", n.Name, err)
	}
	if err := os.Remove(n.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete network namespace %s: %w", n.Name, err)
	}
	return nil
}

// unlink removes the name where it is ours. Former versions mounted the namespace there.
func (n Namespace) unlink() error {
	info, err := os.Lstat(n.link())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().IsRegular():
		return netns.DeleteNamed(n.Name)
	}
	if target, err := os.Readlink(n.link()); err != nil || target != n.File {
		return err // somebody else's
	}
	return os.Remove(n.link())
}

// ID gives the namespace as /proc/PID/ns names it.
func (n Namespace) ID() (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(n.File, &st); err != nil {
		return "", fmt.Errorf("read the identity of network namespace %s: %w", n.Name, err)
	}
	return fmt.Sprintf("net:[%d]", st.Ino), nil // not by a link: of a mounted one that gives the path
}

// open gives a handle to the namespace.
func (n Namespace) open() (netns.NsHandle, error) {
	h, err := netns.GetFromPath(n.File)
	if err != nil {
		return h, fmt.Errorf("open network namespace %s: %w", n.Name, err)
	}
	return h, nil
}

// Do runs fn on a thread that is in the namespace. Sockets that fn opens, and processes that it
// starts, stay in it; goroutines that fn starts are not.
func (n Namespace) Do(fn func() error) error {
	return onThread(func() error {
		h, err := n.open()
		if err != nil {
			return err
		}
		defer h.Close()
		if err := netns.Set(h); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", n.Name, err)
		}
		return fn()
	})
}

// onThread runs fn on a thread of its own and gives the thread back in the network namespace in
// which it was. A thread that cannot be brought back stays locked, and so ends with its goroutine.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- fmt.Errorf("open this thread's network namespace: %w", err)
			return
		}
		defer home.Close()
		err = fn()
		if back := netns.Set(home); back != nil {
			done <- errors.Join(err, back)
			return
		}
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}

// Dial connects from inside the namespace. addr holds an IP address: nothing is resolved.
func (n Namespace) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var conn net.Conn
	err := n.Do(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// Listen opens a stream listener inside the namespace.
func (n Namespace) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	var l net.Listener
	err := n.Do(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(ctx, network, addr)
		return err
	})
	return l, err
}

// ListenPacket opens a packet socket inside the namespace.
func (n Namespace) ListenPacket(ctx context.Context, network, addr string) (net.PacketConn, error) {
	var c net.PacketConn
	err := n.Do(func() (err error) {
		c, err = (&net.ListenConfig{}).ListenPacket(ctx, network, addr)
		return err
	})
	return c, err
}

// Start starts the command inside the namespace.
func (n Namespace) Start(cmd *exec.Cmd) error { return n.Do(cmd.Start) }

// Output runs the command inside the namespace, and gives its error output in the error.
func (n Namespace) Output(cmd *exec.Cmd) ([]byte, error) {
	var out []byte
	err := n.Do(func() (err error) {
		out, err = cmd.Output()
		return err
	})
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return out, fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, exit.Stderr)
	}
	return out, err
}
