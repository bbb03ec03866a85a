package runtime

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"k8s.io/client-go/tools/remotecommand"
	transport "k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// Dialer connects to an address, here inside the mesh's network namespace.
type Dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// Streams of a command. Nil ones are not connected. Sizes gives a terminal's size, may be nil.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Sizes    remotecommand.TerminalSizeQueue
}

// Exec runs a command in a running container with its streams connected, and gives its exit code.
// The streaming server listens on the loopback interface of containerd's network namespace; dial
// connects there.
func (c *Client) Exec(ctx context.Context, dial Dialer, id string, cmd []string, s Streams, tty bool) (int, error) {
	r, err := c.runtime.Exec(ctx, &cri.ExecRequest{
		ContainerId: id, Cmd: cmd, Tty: tty, Stdin: s.In != nil, Stdout: s.Out != nil, Stderr: s.Err != nil && !tty,
	})
	if err != nil {
		return 0, fmt.Errorf("exec %q: %w", cmd, err)
	}
	target, err := url.Parse(r.GetUrl())
	if err != nil {
		return 0, fmt.Errorf("exec %q: containerd's stream address: %w", cmd, err)
	}
	up := &upgrader{dial: dial}
	executor, err := remotecommand.NewSPDYExecutorForTransports(up, transport.NewUpgraderForStreaming(up), http.MethodPost, target)
	if err != nil {
		return 0, fmt.Errorf("exec %q: %w", cmd, err)
	}
	opts := remotecommand.StreamOptions{Stdin: s.In, Stdout: s.Out, Stderr: s.Err, Tty: tty, TerminalSizeQueue: s.Sizes}
	if tty {
		opts.Stderr = nil
	}
	err = executor.StreamWithContext(ctx, opts)
	if exit, ok := errors.AsType[exec.CodeExitError](err); ok {
		return exit.Code, nil
	}
	if err != nil {
		return 0, fmt.Errorf("exec %q: %w", cmd, err)
	}
	return 0, nil
}

// upgrader turns one HTTP request into a SPDY connection over a connection of its dialer.
type upgrader struct {
	dial Dialer
	conn net.Conn
}

func (u *upgrader) RoundTrip(req *http.Request) (*http.Response, error) {
	conn, err := u.dial(req.Context(), "tcp", req.URL.Host)
	if err != nil {
		return nil, err
	}
	u.conn = conn
	req = req.Clone(req.Context())
	req.Header.Set(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	req.Header.Set(httpstream.HeaderUpgrade, spdy.HeaderSpdy31)
	if err := req.Write(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	// The server speaks SPDY only after the client did, so nothing of it is lost in the buffer.
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return resp, nil
}

// NewConnection implements the upgrade's second half.
func (u *upgrader) NewConnection(resp *http.Response) (httpstream.Connection, error) {
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, errors.Join(fmt.Errorf("containerd's stream server answers %s: %s", resp.Status, body), u.conn.Close())
	}
	return spdy.NewClientConnection(u.conn)
}
