package uds

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// TestOnlyTheOwnUserConnects tries as another user, from a thread that has that user's rights.
func TestOnlyTheOwnUserConnects(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "uds") // t.TempDir is closed to other users already
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "socket")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&^0o600 != 0 || info.Mode().Type() != fs.ModeSocket {
		t.Errorf("the socket's mode is %v", info.Mode())
	}
	own, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("its own user: %v", err)
	}
	own.Close()
	if os.Geteuid() != 0 {
		t.Log("only root can try as another user")
		return
	}
	tried := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := syscall.Setfsuid(65534); err != nil {
			tried <- nil
			return
		}
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
		}
		tried <- err
	}()
	if <-tried == nil {
		t.Error("another user connects")
	}
}

func TestListenReplacesOnlySockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "socket")
	for range 2 { // the second finds a stale one
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file); err == nil {
		t.Error("a file was replaced")
	}
}
