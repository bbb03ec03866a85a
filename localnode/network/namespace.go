package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netns"
)

// namedDir is where iproute2 keeps named network namespaces.
const namedDir = "/run/netns"

// Namespace is a named network namespace of this machine.
type Namespace struct {
	Name string
}

// Path is the file that names the namespace.
func (n Namespace) Path() string { return filepath.Join(namedDir, n.Name) }

// Exists tells whether there is a namespace of that name.
func (n Namespace) Exists() bool {
	_, err := os.Stat(n.Path())
	return err == nil
}

// Create makes the namespace; it fails when there is one of that name.
func (n Namespace) Create() error {
	if n.Exists() {
		return fmt.Errorf("network namespace %s exists already", n.Name)
	}
	return onThread(func() error {
		h, err := netns.NewNamed(n.Name)
		if err != nil {
			return fmt.Errorf("make network namespace %s: %w", n.Name, err)
		}
		return h.Close()
	})
}

// Delete removes the namespace's name, and the directory of names when it was the last one. The
// kernel frees the namespace when no process and no socket is left in it.
func (n Namespace) Delete() error {
	if n.Exists() {
		if err := netns.DeleteNamed(n.Name); err != nil {
			return fmt.Errorf("delete network namespace %s: %w", n.Name, err)
		}
	}
	_ = os.Remove(namedDir) // fails, rightly, while other namespaces are there
	return nil
}

// Do runs fn on a thread that is in the namespace. Sockets that fn opens, and processes that it
// starts, stay in it; goroutines that fn starts are not.
func (n Namespace) Do(fn func() error) error {
	return onThread(func() error {
		h, err := netns.GetFromName(n.Name)
		if err != nil {
			return fmt.Errorf("open network namespace %s: %w", n.Name, err)
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
