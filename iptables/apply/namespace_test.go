package apply

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

const (
	envInside = "PILOTHOUSE_TEST_IN_NAMESPACE"
	envDial   = "PILOTHOUSE_TEST_DIAL"
)

// TestMain plays a client when asked to: it dials from the user that it runs as, and prints
// what it hears.
func TestMain(m *testing.M) {
	addr := os.Getenv(envDial)
	if addr == "" {
		os.Exit(m.Run())
	}
	network, addr, _ := strings.Cut(addr, ",")
	heard, err := ask(network, addr)
	if err != nil {
		heard = err.Error()
	}
	os.Stdout.WriteString(heard)
	os.Exit(0)
}

// ask sends a word and gives the answer.
func ask(network, addr string) (string, error) {
	conn, err := net.DialTimeout(network, addr, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte("who?")); err != nil {
		return "", err
	}
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	return string(answer[:n]), err
}

// inNamespace runs the calling test again in a process with a network namespace of its own;
// false tells the outer one to end.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(envInside) != "" {
		return true
	}
	if os.Getuid() != 0 {
		t.Fatal("this test changes the kernel's rules in a network namespace of its own: run it as root")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v=true")
	cmd.Env = append(os.Environ(), envInside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("in the namespace:\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
	return false
}

// dial connects as a user and tells what answered.
func dial(t *testing.T, uid uint32, network, addr string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	// Built with the race detector, a process waits a second before it ends, unless told not to.
	cmd.Env = []string{envDial + "=" + network + "," + addr, "GORACE=atexit_sleep_ms=0"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("dialling %s: %v", addr, err)
	}
	return string(out)
}

// serve says name to whoever connects to a port, over both families.
func serve(t *testing.T, name string, port int) {
	t.Helper()
	l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, name)
			conn.Read(make([]byte, 64)) // closing with unread data would reset the connection
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

// serveUDP says name to whoever sends a packet to an address.
func serveUDP(t *testing.T, name, addr string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			_, from, err := conn.ReadFrom(make([]byte, 64))
			if err != nil {
				return
			}
			conn.WriteTo([]byte(name), from)
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
}

// asUser opens sockets in f as a user: by that the kernel knows their owner.
func asUser(t *testing.T, uid int, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := syscall.Setfsuid(uid); err != nil {
		t.Fatal(err)
	}
	f()
	if err := syscall.Setfsuid(os.Getuid()); err != nil {
		t.Fatal(err)
	}
}

// network is a pod's network (in the namespace of the process) with a peer in another one.
type network struct {
	t    *testing.T
	jobs chan func()
}

const (
	podIPv4, peerIPv4 = "10.9.0.1", "10.9.0.2"
	podIPv6, peerIPv6 = "fd09::1", "fd09::2"
)

// newNetwork joins two namespaces by a veth pair.
func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{t: t, jobs: make(chan func())}
	ready := make(chan error)
	go func() {
		// The thread is thrown away with its namespace: it stays locked when this ends.
		runtime.LockOSThread()
		_, err := netns.New()
		ready <- err
		for job := range n.jobs {
			job()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatalf("making a network namespace: %v", err)
	}
	t.Cleanup(func() { close(n.jobs) })
	var peer netns.NsHandle
	var err error
	n.inPeer(func() { peer, err = netns.Get() })
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(peer)}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatalf("making a veth pair: %v", err)
	}
	configure(t, podIPv4, podIPv6)
	n.inPeer(func() { configure(t, peerIPv4, peerIPv6) })
	return n
}

// onlyLinkLocal takes the global IPv6 addresses away and gives the pod and its peer link-local ones,
// which are there at once, unlike those that the kernel makes. It gives the pod's.
func (n *network) onlyLinkLocal(pod, peer string) string {
	n.t.Helper()
	replace := func(old, addr string) {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			n.t.Error(err)
			return
		}
		global, err := netlink.ParseAddr(old + "/64")
		if err == nil {
			err = netlink.AddrDel(link, global)
		}
		local, e := netlink.ParseAddr(addr + "/64")
		if e == nil {
			local.Flags = syscall.IFA_F_NODAD
			e = netlink.AddrAdd(link, local)
		}
		if err := errors.Join(err, e); err != nil {
			n.t.Errorf("link-local address %s: %v", addr, err)
		}
	}
	replace(podIPv6, pod)
	n.inPeer(func() { replace(peerIPv6, peer) })
	return pod
}

// inPeer runs a function on a thread of the peer's namespace.
func (n *network) inPeer(f func()) {
	done := make(chan struct{})
	n.jobs <- func() { defer close(done); f() }
	<-done
}

// configure is called on the test's own goroutine and on the peer's, so it does not end either.
func configure(t *testing.T, ipv4, ipv6 string) {
	for dev, addrs := range map[string][]string{"lo": nil, "eth0": {ipv4 + "/24", ipv6 + "/64"}} {
		link, err := netlink.LinkByName(dev)
		if err == nil {
			err = netlink.LinkSetUp(link)
		}
		for _, a := range addrs {
			addr, e := netlink.ParseAddr(a)
			if e == nil {
				addr.Flags = syscall.IFA_F_NODAD
				e = netlink.AddrAdd(link, addr)
			}
			err = errors.Join(err, e)
		}
		if err != nil {
			t.Errorf("configuring %s: %v", dev, err)
		}
	}
}

// saved gives what iptables-save and ip6tables-save tell, without comments and counters.
func saved(t *testing.T) string {
	t.Helper()
	var out []string
	for _, name := range []string{"iptables-save", "ip6tables-save"} {
		data, err := exec.Command(name).Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, line := range strings.Split(string(data), "\n") {
			if line != "" && !strings.HasPrefix(line, "#") {
				line, _, _ = strings.Cut(line, " [")
				out = append(out, line)
			}
		}
	}
	return strings.Join(out, "\n")
}

func testOptions(t *testing.T) Options {
	return Options{IPv6: true, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
}
