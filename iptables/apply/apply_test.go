package apply

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/pilothouse-mesh/pilothouse/iptables"
)

func build(t *testing.T, c iptables.Config) iptables.Rules {
	t.Helper()
	rules, err := iptables.Build(c)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// injected is what the injector passes.
func injected() iptables.Config {
	return iptables.Config{
		ProxyUID: "1337", InboundPorts: "*", InboundPortsExclude: "15090,15021,15020", OutboundCIDRs: "*",
	}
}

func mustApply(t *testing.T, c iptables.Config) {
	t.Helper()
	changed, err := Apply(build(t, c), testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	if !changed {
		t.Fatal("nothing was changed")
	}
}

// TestCapture asserts where connections end up.
func TestCapture(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	n := newNetwork(t)
	c := injected()
	c.OutboundPortsExclude = "9000"
	mustApply(t, c)
	serve(t, "outbound", 15001)
	serve(t, "inbound", 15006)
	serve(t, "app", 8080)
	serve(t, "probes", 15020)
	n.inPeer(func() {
		serve(t, "peer", 8080)
		serve(t, "peer", 9000)
	})
	const app, proxy = 1000, 1337
	both := func(ipv4, ipv6, port string) []string {
		return []string{net.JoinHostPort(ipv4, port), net.JoinHostPort(ipv6, port)}
	}
	cases := []struct {
		what   string
		uid    uint32
		addrs  []string
		inPeer bool
		want   string
	}{
		{"the application calls out", app, both(peerIPv4, peerIPv6, "8080"), false, "outbound"},
		{"root calls out", 0, both(peerIPv4, peerIPv6, "8080"), false, "outbound"},
		{"the application calls an excluded port", app, both(peerIPv4, peerIPv6, "9000"), false, "peer"},
		{"the proxy calls out", proxy, both(peerIPv4, peerIPv6, "8080"), false, "peer"},
		{"the application calls localhost", app, both("127.0.0.1", "::1", "8080"), false, "app"},
		{"the application calls its own address", app, both(podIPv4, podIPv6, "8080"), false, "app"},
		{"the proxy calls the pod's own address", proxy, both(podIPv4, podIPv6, "8080"), false, "inbound"},
		{"a peer calls in", 0, both(podIPv4, podIPv6, "8080"), true, "inbound"},
		{"a peer calls an excluded port", 0, both(podIPv4, podIPv6, "15020"), true, "probes"},
	}
	for _, c := range cases {
		for _, addr := range c.addrs {
			var got string
			call := func() { got = dial(t, c.uid, "tcp", addr) }
			if c.inPeer {
				n.inPeer(call)
			} else {
				call()
			}
			if got != c.want {
				t.Errorf("%s (%s): answered by %q, want %q", c.what, addr, got, c.want)
			}
		}
	}
}

// TestLinkLocal says that a pod whose only IPv6 address is link-local, which HasIPv6 does not count,
// is not entered past the proxy by that address, while what it sends there itself is left alone.
func TestLinkLocal(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	n := newNetwork(t)
	linkLocal := n.onlyLinkLocal("fe80::1", "fe80::2")
	ipv6, err := HasIPv6()
	if err != nil || ipv6 {
		t.Fatalf("HasIPv6: %v, %v", ipv6, err)
	}
	c := injected()
	c.VirtualInterfaces = "net0"
	opts := testOptions(t)
	opts.IPv6 = ipv6
	if _, err := Apply(build(t, c), opts); err != nil {
		t.Fatal(err)
	}
	serve(t, "outbound", 15001)
	serve(t, "inbound", 15006)
	serve(t, "app", 8080)
	serve(t, "health", 15021)
	n.inPeer(func() { serve(t, "peer", 8080) })
	calls := func(addr, port string) (got string) {
		n.inPeer(func() { got = dial(t, 0, "tcp", net.JoinHostPort(addr+"%eth0", port)) })
		return got
	}
	if got := calls(linkLocal, "8080"); got != "inbound" {
		t.Errorf("a neighbour calls an application by its link-local address: answered by %q, want the proxy", got)
	}
	if got := calls(linkLocal, "15021"); got != "health" {
		t.Errorf("a neighbour calls an excluded port: answered by %q", got)
	}
	if got := dial(t, 1000, "tcp", "[fe80::2%eth0]:8080"); got != "peer" {
		t.Errorf("the application calls a neighbour: answered by %q, want the neighbour", got)
	}
	if changed, err := Apply(build(t, c), opts); err != nil || changed {
		t.Errorf("the same rules again: changed %v, error %v", changed, err)
	}
}

// TestDNS asserts who answers queries: the agent for the servers that are captured.
func TestDNS(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	n := newNetwork(t)
	c := injected()
	c.RedirectDNS = true
	c.Nameservers = []netip.Addr{netip.MustParseAddr(peerIPv4), netip.MustParseAddr(peerIPv6)}
	mustApply(t, c)
	serve(t, "agent", 15053)
	serve(t, "outbound", 15001)
	asUser(t, 1337, func() {
		serveUDP(t, "agent", "127.0.0.1:15053")
		serveUDP(t, "agent", "[::1]:15053")
	})
	n.inPeer(func() {
		serve(t, "server", 53)
		for _, ip := range []string{peerIPv4, peerIPv6} {
			serveUDP(t, "server", net.JoinHostPort(ip, "53"))
		}
	})
	asks := func(uid uint32, network, want string) {
		t.Helper()
		for _, ip := range []string{peerIPv4, peerIPv6} {
			if got := dial(t, uid, network, net.JoinHostPort(ip, "53")); got != want {
				t.Errorf("user %d asks %s over %s: answered by %q, want %q", uid, ip, network, got, want)
			}
		}
	}
	asks(1000, "udp", "agent")
	asks(1000, "tcp", "agent")
	c.Nameservers = []netip.Addr{netip.MustParseAddr("10.96.0.10")}
	mustApply(t, c)
	asks(1000, "udp", "server")
	asks(1000, "tcp", "outbound")
	c.CaptureAllDNS = true
	mustApply(t, c)
	asks(1000, "udp", "agent")
	asks(1337, "udp", "server")
	asks(1337, "tcp", "server")
}

// TestRepeat says that the same rules again change nothing, and that others replace them.
func TestRepeat(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newNetwork(t)
	c := injected()
	c.RedirectDNS, c.CaptureAllDNS, c.DropInvalid = true, true, true
	c.OwnerGroups = "0,7"
	mustApply(t, c)
	first := saved(t)
	changed, err := Apply(build(t, c), testOptions(t))
	if err != nil || changed {
		t.Fatalf("the same rules again: changed %v, error %v", changed, err)
	}
	if again := saved(t); again != first {
		t.Fatalf("rules differ: %s\nafter: %s", first, again)
	}
	mustApply(t, injected())
	plain := saved(t)
	for _, gone := range []string{"ISTIO_OUTPUT_DNS", "ISTIO_DROP", "--gid-owner 7"} {
		if strings.Contains(plain, gone) {
			t.Errorf("%s is left over:\n%s", gone, plain)
		}
	}
	if n := strings.Count(plain, "-A OUTPUT -j ISTIO_OUTPUT"); n != 2 {
		t.Errorf("%d jumps from OUTPUT for two families:\n%s", n, plain)
	}
	opts := testOptions(t)
	opts.Force = true
	if _, err := Apply(build(t, injected()), opts); err != nil {
		t.Fatal(err)
	}
	if forced := saved(t); forced != plain {
		t.Errorf("forced rules differ: %s\nbefore: %s", forced, plain)
	}
	// A rule that someone took away is put back.
	b, err := choose(iptables.IPv4, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.ipt.DeleteById("nat", "ISTIO_OUTPUT", 1); err != nil {
		t.Fatal(err)
	}
	mustApply(t, injected())
	if repaired := saved(t); repaired != plain {
		t.Errorf("repaired rules differ: %s\nbefore: %s", repaired, plain)
	}
	// Without IPv6 what concerns outbound connections goes.
	opts = testOptions(t)
	opts.IPv6 = false
	if changed, err := Apply(build(t, injected()), opts); err != nil || !changed {
		t.Fatalf("without IPv6: changed %v, error %v", changed, err)
	}
	if n := strings.Count(saved(t), "-A OUTPUT -j ISTIO_OUTPUT"); n != 1 {
		t.Errorf("%d jumps from OUTPUT, want that of IPv4 alone", n)
	}
	if n := strings.Count(saved(t), "-A PREROUTING -p tcp -j ISTIO_INBOUND"); n != 2 {
		t.Errorf("%d jumps from PREROUTING, want those of both families", n)
	}
}

// TestCleanup says that nothing of ours stays, and that what others did does.
func TestCleanup(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newNetwork(t)
	b, err := choose(iptables.IPv4, "")
	if err != nil {
		t.Fatal(err)
	}
	foreign := []string{"-p", "tcp", "--dport", "7", "-j", "ACCEPT"}
	if err := b.ipt.Append("nat", "OUTPUT", foreign...); err != nil {
		t.Fatal(err)
	}
	c := injected()
	c.RedirectDNS, c.CaptureAllDNS, c.DropInvalid, c.ExcludeInterfaces, c.VirtualInterfaces = true, true, true, "eth7", "net0"
	mustApply(t, c)
	for range 2 {
		if err := Cleanup(testOptions(t)); err != nil {
			t.Fatal(err)
		}
		if s := saved(t); strings.Contains(s, "ISTIO") || strings.Contains(s, "eth7") || !strings.Contains(s, "--dport 7 -j ACCEPT") {
			t.Errorf("after the clean-up:\n%s", s)
		}
	}
	if hasPassthrough(t) {
		t.Error("::6 is left on lo")
	}
}

func hasPassthrough(t *testing.T) bool {
	t.Helper()
	link, want, err := loopback()
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_V6)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if a.IP.Equal(want.IP) {
			return true
		}
	}
	return false
}

// TestTakenBack lets the second half of a change fail, in the second family and in the second
// table of one family, and says that the first half is undone.
func TestTakenBack(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newNetwork(t)
	full := injected()
	full.RedirectDNS, full.CaptureAllDNS = true, true
	broken := iptables.Rule{Table: "nat", Chain: "ISTIO_OUTPUT", Args: []string{"-j", "NO_SUCH_TARGET"}, Reason: "breaks"}
	for _, before := range []string{"nothing", "other rules"} {
		if before == "other rules" {
			mustApply(t, injected())
		}
		start := saved(t)
		had := hasPassthrough(t)
		for _, family := range []string{"IPv4", "IPv6"} {
			rules := build(t, full)
			if family == "IPv6" {
				rules.IPv6 = append(rules.IPv6, broken)
			} else {
				rules.IPv4 = append(rules.IPv4, broken)
			}
			_, err := Apply(rules, testOptions(t))
			if err == nil || !strings.Contains(err.Error(), family) {
				t.Fatalf("broken %s rules over %s: error %v", family, before, err)
			}
			if now := strip(saved(t)); now != strip(start) {
				t.Errorf("broken %s rules over %s left:\n%s\nbefore:\n%s", family, before, now, start)
			}
			if hasPassthrough(t) != had {
				t.Errorf("broken %s rules over %s: ::6 on lo is not as before", family, before)
			}
		}
	}
}

// strip leaves out the kernel's own tables and chains, which appear with their first use.
func strip(saved string) string {
	var out []string
	for _, line := range strings.Split(saved, "\n") {
		if strings.Contains(line, "ISTIO") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// TestHasIPv6 says that a global address of an interface decides, and loopback does not.
func TestHasIPv6(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	if has, err := HasIPv6(); err != nil || has {
		t.Fatalf("in an empty namespace: %v, %v", has, err)
	}
	newNetwork(t)
	if has, err := HasIPv6(); err != nil || !has {
		t.Fatalf("with %s: %v, %v", podIPv6, has, err)
	}
}

// TestNoBackend says which commands were tried.
func TestNoBackend(t *testing.T) {
	opts := testOptions(t)
	opts.Binary = "iptables-that-is-not-there"
	_, err := Apply(build(t, injected()), opts)
	if err == nil || !strings.Contains(err.Error(), opts.Binary) {
		t.Fatalf("error %v", err)
	}
}

// TestBackend says that the legacy backend is used where it is in use already, so that not two
// act at once, and nft otherwise.
func TestBackend(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	newNetwork(t)
	chosen := func() bool {
		t.Helper()
		b, err := choose(iptables.IPv4, "")
		if err != nil {
			t.Fatal(err)
		}
		return b.legacy
	}
	if chosen() {
		t.Error("the legacy backend is chosen in an empty namespace")
	}
	opts := testOptions(t)
	opts.Binary = "legacy"
	if _, err := Apply(build(t, injected()), opts); err != nil {
		// A kernel may be built without it; then it has to stay unused.
		if chosen() {
			t.Errorf("the legacy backend is chosen, and does not work: %v", err)
		}
		return
	}
	if !chosen() {
		t.Error("the legacy backend holds rules, and is not chosen")
	}
	if changed, err := Apply(build(t, injected()), testOptions(t)); changed || err != nil {
		t.Errorf("the same rules again: changed %v, error %v", changed, err)
	}
	if err := Cleanup(testOptions(t)); err != nil {
		t.Fatal(err)
	}
	if chosen() {
		t.Error("the legacy backend is chosen after the clean-up")
	}
}
