package h2

import (
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// socket is a connection without the runtime's own polling: reading never waits.
type socket int

// bare takes a TCP connection from the runtime.
func bare(conn net.Conn) (socket, error) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0, fmt.Errorf("a %T cannot be polled", conn)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd int
	var dupErr error
	if err := raw.Control(func(from uintptr) { fd, dupErr = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return 0, err
	}
	if dupErr != nil {
		return 0, fmt.Errorf("duplicate a socket: %w", dupErr)
	}
	return socket(fd), tcp.Close()
}

// Read gives 0 bytes where there is nothing to read, and io.EOF at the end.
func (s socket) Read(b []byte) (int, error) {
	for {
		switch n, err := unix.Read(int(s), b); {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, nil
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write writes everything. It waits where the kernel's buffer is full, which ends soon: a server
// always reads.
func (s socket) Write(b []byte) (int, error) {
	for done := 0; ; {
		n, err := unix.Write(int(s), b[done:])
		done += max(0, n)
		switch {
		case err == unix.EAGAIN:
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(s), Events: unix.POLLOUT}}, -1); err != nil && err != unix.EINTR {
				return done, err
			}
		case err != nil && err != unix.EINTR:
			return done, err
		case done == len(b):
			return done, nil
		}
	}
}

func (s socket) Close() error { return unix.Close(int(s)) }
