package network

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestChoosePlanKeepsOffWhatIsInUse(t *testing.T) {
	used := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("10.64.3.0/24"), netip.MustParsePrefix("10.65.0.7/32")}
	p, err := ChoosePlan(used)
	if err != nil {
		t.Fatal(err)
	}
	if want := netip.MustParsePrefix("10.66.0.0/16"); p.Block != want {
		t.Errorf("block is %s, want %s", p.Block, want)
	}
	for _, a := range []netip.Addr{p.Gateway, p.Host, p.Mesh, p.DNS, p.Istiod} {
		if !p.Block.Contains(a) {
			t.Errorf("%s is outside of the block", a)
		}
	}
	if p.Pods.Overlaps(p.Services) {
		t.Error("pods and services overlap")
	}
	if _, err := ChoosePlan([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}); err == nil {
		t.Error("a plan was found in a network that is taken")
	}
}

func TestAllocator(t *testing.T) {
	p := NewPlan(70)
	a := NewAllocator(p)
	seen := map[netip.Addr]bool{p.DNS: true, p.Istiod: true}
	for _, key := range []string{"default/a", "default/b", "default/c"} {
		addr, err := a.Get(key)
		if err != nil || seen[addr] || !p.Services.Contains(addr) {
			t.Fatalf("%s gets %s, %v", key, addr, err)
		}
		seen[addr] = true
		if again, _ := a.Get(key); again != addr {
			t.Errorf("%s gets %s and then %s", key, addr, again)
		}
		// The same name gets the same address in another run.
		if other, _ := NewAllocator(p).Get(key); other != addr {
			t.Errorf("another run gives %s, want %s", other, addr)
		}
	}
	first, _ := a.Get("default/a")
	a.Release("default/a")
	if again, _ := a.Get("default/a"); again != first {
		t.Errorf("after its release %s, want %s", again, first)
	}
}

func TestAllocatorGivesEachAddressOnce(t *testing.T) {
	p := NewPlan(70)
	p.Services = netip.MustParsePrefix("10.70.128.0/27") // 32 addresses, 16 of them reserved, one for broadcast
	a := NewAllocator(p)
	seen := map[netip.Addr]bool{}
	for i := range 15 {
		addr, err := a.Get(strings.Repeat("x", i+1))
		if err != nil || seen[addr] {
			t.Fatalf("address %d is %s, %v", i, addr, err)
		}
		seen[addr] = true
	}
	if addr, err := a.Get("one too many"); err == nil {
		t.Errorf("the sixteenth address is %s", addr)
	}
}

func TestRules(t *testing.T) {
	vip := netip.MustParseAddr("10.70.130.1")
	a, b := netip.MustParseAddrPort("10.70.0.2:9080"), netip.MustParseAddrPort("10.70.0.3:9080")
	forwards := []Forward{
		{Address: vip, Port: 80, Protocol: TCP, Backends: []netip.AddrPort{b, a}},
		{Address: netip.MustParseAddr("10.70.130.2"), Port: 81, Protocol: UDP},
	}
	rules := string(NewPlan(70).Rules(forwards))
	for _, want := range []string{
		"-A PH-SERVICES -d 10.70.130.1/32 -p tcp -m tcp --dport 80 -j PH-SVC-0\n",
		"-A PH-SVC-0 -p tcp -m statistic --mode random --probability 0.5000000000 -j DNAT --to-destination 10.70.0.2:9080\n" +
			"-A PH-SVC-0 -p tcp -j DNAT --to-destination 10.70.0.3:9080\n",
		"-A POSTROUTING -s 10.70.0.2/32 -d 10.70.0.2/32 -j MASQUERADE\n",
		"-A FORWARD ! -o lo -d 10.70.128.0/18 -p tcp -j REJECT --reject-with tcp-reset\n",
	} {
		if !strings.Contains(rules, want) {
			t.Errorf("rules lack %q:\n%s", want, rules)
		}
	}
	if strings.Contains(rules, "10.70.130.2") {
		t.Error("a service without backends has a rule")
	}
	slices.Reverse(forwards)
	if again := string(NewPlan(70).Rules(forwards)); again != rules {
		t.Error("the order of the services changes the rules")
	}
}

func TestHostLinkFitsTheKernel(t *testing.T) {
	a, b := HostLink("a-very-long-mesh-name"), HostLink("a-very-long-mesh-nama")
	if len(a) > 15 || a == b {
		t.Errorf("links are %q and %q", a, b)
	}
	if strings.HasPrefix(a, "ph-") {
		t.Errorf("%s may also be the link of the mesh %q", a, strings.TrimPrefix(a, "ph-"))
	}
	if got := HostLink("demo"); got != "ph-demo" {
		t.Errorf("link of demo is %q", got)
	}
}
