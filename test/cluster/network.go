package cluster

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"

	"github.com/pilothouse-mesh/pilothouse/localnode/network"
)

// plan is every address of a cluster, all in one /16 block: a /20 of pods for each node, a /18 of
// Services, and the links.
type plan struct {
	network.Plan
	nodes int
}

// maxNodes is how many /20 are in the /17 of pods.
const maxNodes = 8

// linkBits makes room for the two ends of a link and nothing else.
const linkBits = 30

func choosePlan(used []netip.Prefix, nodes int) (plan, error) {
	if nodes > maxNodes {
		return plan{}, fmt.Errorf("%d nodes: at most %d are possible", nodes, maxNodes)
	}
	p, err := network.ChoosePlan(used)
	return plan{p, nodes}, err
}

func (p plan) at(c, d int) netip.Addr {
	a := p.Block.Addr().As4()
	a[2], a[3] = byte(c), byte(d)
	return netip.AddrFrom4(a)
}

// node gives a node's own address: the end of its link, on the first node that to the host.
func (p plan) node(i int) netip.Addr {
	if i == 0 {
		return p.Mesh
	}
	return p.at(254, 4*i+2)
}

// router is the first node's end of another node's link.
func (p plan) router(i int) netip.Addr { return p.at(254, 4*i+1) }

func (p plan) pods(i int) netip.Prefix { return netip.PrefixFrom(p.at(16*i, 0), 20) }

// of gives the plan of one node's pods.
func (p plan) of(i int) network.Plan {
	out := p.Plan
	out.Pods = p.pods(i)
	out.Gateway = out.Pods.Addr().Next()
	return out
}

// apiAddress is the Service of the API server, dnsAddress that of the nameserver.
func (p plan) apiAddress() netip.Addr { return p.at(128, 1) }
func (p plan) dnsAddress() netip.Addr { return p.at(128, 10) }

// connectHost joins the first node to the host by one link, with one route for the block.
func (p plan) connectHost(ns network.Namespace, link string) error {
	err := ns.Do(func() error { return up("lo") })
	if err == nil {
		err = ns.AddLink(link, "host0")
	}
	if err == nil {
		err = ns.Do(func() error { return p.inside("host0", p.Mesh, p.Host) })
	}
	if err == nil {
		err = address(link, p.Host)
	}
	if err == nil {
		err = route(link, p.Block, p.Mesh)
	}
	return err
}

// connectNode joins another node to the first, which is its router.
func (p plan) connectNode(first, ns network.Namespace, i int) error {
	name := fmt.Sprintf("node%d", i+1)
	if err := ns.Do(func() error { return up("lo") }); err != nil {
		return err
	}
	err := first.Do(func() error {
		if err := ns.AddLink(name, "node0"); err != nil {
			return err
		}
		if err := address(name, p.router(i)); err != nil {
			return err
		}
		return route(name, p.pods(i), p.node(i))
	})
	if err != nil {
		return err
	}
	return ns.Do(func() error { return p.inside("node0", p.node(i), p.router(i)) })
}

// inside sets up a node's end: its address, and a way to everything else, since Services' addresses
// need a route to be translated at all.
func (p plan) inside(link string, own, via netip.Addr) error {
	if err := address(link, own); err != nil {
		return err
	}
	if err := route(link, netip.PrefixFrom(netip.IPv4Unspecified(), 0), via); err != nil {
		return err
	}
	// /proc/sys/net follows the namespace of the thread that opens it.
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

func up(name string) error {
	link, err := netlink.LinkByName(name)
	return cmp.Or(err, netlink.LinkSetUp(link))
}

func address(name string, a netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(linkBits, 32)}}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("give %s address %s: %w", name, a, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring link %s up: %w", name, err)
	}
	return nil
}

func route(name string, dst netip.Prefix, via netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	r := &netlink.Route{
		LinkIndex: link.Attrs().Index, Gw: via.AsSlice(),
		Dst: &net.IPNet{IP: dst.Addr().AsSlice(), Mask: net.CIDRMask(dst.Bits(), 32)},
	}
	if err := netlink.RouteAdd(r); err != nil {
		return fmt.Errorf("route %s by %s: %w", dst, name, err)
	}
	return nil
}
