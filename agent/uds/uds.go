// Package uds makes the Unix sockets on which the agent serves Envoy.
package uds

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pilothouse-mesh/pilothouse/agent/until"
)

// mode lets the agent's own user connect, and nobody else: what the sockets give is the workload's
// key. Envoy runs as that user.
const mode = 0o600

// Listen makes the socket and its directory. A stale socket of an earlier agent is replaced;
// anything else of that name is left alone, and an error. Only the user who listens may connect.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("socket %s: %w", path, err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("socket %s: a file that is no socket is in the way", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("stale socket: %w", err)
		}
	}
	lc := net.ListenConfig{Control: restrict}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return l, nil
}

// Server is a server of gRPC.
type Server interface {
	Serve(l net.Listener) error
	Stop()
}

// Serve listens and serves until ctx ends, which is no error.
func Serve(ctx context.Context, path string, srv Server) error {
	l, err := Listen(path)
	if err != nil {
		return err
	}
	return until.Done(ctx, func() error { return srv.Serve(l) }, srv.Stop)
}

// restrict sets the mode before the socket has a name: Linux gives the file the mode of the
// socket, less the umask, so that there is no moment in which others may connect.
func restrict(_, _ string, c syscall.RawConn) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), mode) }), err)
}
