package envoytest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace of a test, in which every address is the machine's own. It needs root.
type Namespace struct {
	work  chan func()
	done  sync.WaitGroup
	dials atomic.Int32
}

// NewNamespace makes a namespace that is there until the test ends.
func NewNamespace(t testing.TB) *Namespace {
	t.Helper()
	n := &Namespace{work: make(chan func())}
	made := make(chan error, 1)
	n.done.Go(func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine, and so does the namespace
		err := unix.Unshare(unix.CLONE_NEWNET)
		made <- err
		if err != nil {
			return
		}
		for f := range n.work {
			f()
		}
	})
	if err := <-made; err != nil {
		t.Fatalf("a network namespace (needs root): %v", err)
	}
	t.Cleanup(func() {
		close(n.work)
		n.done.Wait()
	})
	n.run(t, "ip link set lo up && ip route add local default dev lo && ip -6 route add local default dev lo && ip -6 addr add ::6/128 dev lo nodad")
	return n
}

// Do calls a function in the namespace, and waits for it. Sockets and processes that it makes stay there.
func (n *Namespace) Do(f func()) {
	done := make(chan struct{})
	n.work <- func() {
		defer close(done)
		f()
	}
	<-done
}

// Redirect sends connections whose socket carries a mark to a port of the namespace, as a node's rules do.
// Mark 0 is that of sockets without one.
func (n *Namespace) Redirect(t testing.TB, ports map[int]int) {
	t.Helper()
	script := ""
	for mark, port := range ports {
		for _, tool := range []string{"iptables", "ip6tables"} {
			script += fmt.Sprintf("%s -w -t nat -A OUTPUT -p tcp -m mark --mark %d -j REDIRECT --to-ports %d\n", tool, mark, port)
		}
	}
	n.run(t, script)
}

// Lose drops what sockets without a mark send to a port, whichever the address.
func (n *Namespace) Lose(t testing.TB, port int) {
	t.Helper()
	n.run(t, fmt.Sprintf("iptables -w -t mangle -A OUTPUT -p tcp -m mark --mark 0 --dport %d -j DROP", port))
}

// RedirectDNS sends questions to DNS servers, whichever, to a port of the namespace.
func (n *Namespace) RedirectDNS(t testing.TB, port int) {
	t.Helper()
	script := ""
	for _, tool := range []string{"iptables", "ip6tables"} {
		script += fmt.Sprintf("%s -w -t nat -A OUTPUT -p udp --dport 53 -j REDIRECT --to-ports %d\n", tool, port)
	}
	n.run(t, script)
}

// ListenPacket listens for datagrams at a port of all addresses of a family ("udp4" or "udp6").
func (n *Namespace) ListenPacket(network string, port int) (c net.PacketConn, err error) {
	n.Do(func() { c, err = net.ListenPacket(network, ":"+strconv.Itoa(port)) })
	return c, err
}

func (n *Namespace) run(t testing.TB, script string) {
	t.Helper()
	var out []byte
	var err error
	n.Do(func() { out, err = exec.Command("sh", "-ec", script).CombinedOutput() })
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// Listen listens on a port of all addresses of a family ("tcp4" or "tcp6").
func (n *Namespace) Listen(network string, port int) (l net.Listener, err error) {
	n.Do(func() { l, err = net.Listen(network, ":"+strconv.Itoa(port)) })
	return l, err
}

// Clients' ports: beneath those that the kernel gives.
const firstClient, clients = 20000, 12000

// Dial connects from an address, or from any where it is invalid, with a mark. Each connection is from a port of its own:
// two that are redirected to one listener cannot have the same one, so the kernel would show the second one's as another.
func (n *Namespace) Dial(ctx context.Context, from netip.Addr, to netip.AddrPort, mark int) (conn net.Conn, err error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		if err := c.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark)
		}); err != nil {
			return err
		}
		return failed
	}}
	local := &net.TCPAddr{Port: firstClient + int(n.dials.Add(1))%clients}
	if from.IsValid() {
		local.IP = from.AsSlice()
	}
	d.LocalAddr = local
	n.Do(func() { conn, err = d.DialContext(ctx, "tcp", to.String()) })
	return conn, err
}

// OriginalDestination gives where a connection was sent before it was redirected.
func OriginalDestination(conn *net.TCPConn) (out netip.AddrPort, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	const originalDst = 80 // SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST of the kernel
	v4 := conn.LocalAddr().(*net.TCPAddr).IP.To4() != nil
	var failed error
	err = raw.Control(func(fd uintptr) {
		if !v4 {
			var info *unix.IPv6MTUInfo // begins with the address
			if info, failed = unix.GetsockoptIPv6MTUInfo(int(fd), unix.SOL_IPV6, originalDst); failed == nil {
				p := info.Addr.Port
				out = netip.AddrPortFrom(netip.AddrFrom16(info.Addr.Addr), p<<8|p>>8)
			}
			return
		}
		var m *unix.IPv6Mreq // has the size of a sockaddr_in
		if m, failed = unix.GetsockoptIPv6Mreq(int(fd), unix.SOL_IP, originalDst); failed == nil {
			b := m.Multiaddr
			out = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), uint16(b[2])<<8|uint16(b[3]))
		}
	})
	if err == nil {
		err = failed
	}
	return out, err
}
