package network

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
)

// HostLink is the name of a mesh's link on the host. Interface names have 15 characters at most,
// so a long name is cut and told apart by a hash, and by a "_" from all names that were not cut.
func HostLink(mesh string) string {
	const maxName = 15
	name := "ph-" + mesh
	if len(name) <= maxName {
		return name
	}
	h := fnv.New32a()
	h.Write([]byte(mesh))
	return fmt.Sprintf("ph_%.6s%06x", mesh, h.Sum32()&0xffffff)
}

// meshLink is the name of the other end, inside the namespace.
const meshLink = "host0"

// InUse gives the prefixes of every address and every route of the host.
func InUse() ([]netip.Prefix, error) {
	var used []netip.Prefix
	add := func(n *net.IPNet) {
		if n == nil {
			return
		}
		if a, ok := netip.AddrFromSlice(n.IP); ok {
			bits, _ := n.Mask.Size()
			used = append(used, netip.PrefixFrom(a.Unmap(), bits))
		}
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list the machine's addresses: %w", err)
	}
	for _, a := range addrs {
		add(a.IPNet)
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list the machine's routes: %w", err)
	}
	for _, r := range routes {
		add(r.Dst)
	}
	return used, nil
}

// AddLink makes a link from the present namespace, whose other end, peer, is in n.
func (n Namespace) AddLink(name, peer string) error {
	h, err := n.open()
	if err != nil {
		return err
	}
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: peer, PeerNamespace: netlink.NsFd(int(h))}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("make link %s: %w", name, err)
	}
	return nil
}

// Connect joins host and namespace by one link, with a route for the pods and one for the
// services on the host, and gives the namespace its own addresses.
func (p Plan) Connect(ns Namespace, hostLink string, egress bool) error {
	if err := ns.AddLink(hostLink, meshLink); err != nil {
		return err
	}
	if err := ns.Do(func() error { return p.configureInside(egress) }); err != nil {
		return err
	}
	return p.configureHost(hostLink)
}

func (p Plan) configureHost(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := addAddr(link, netip.PrefixFrom(p.Host, linkBits)); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring link %s up: %w", name, err)
	}
	for _, dst := range []netip.Prefix{p.Pods, p.Services} {
		if err := addRoute(link, dst, p.Mesh); err != nil {
			return err
		}
	}
	return nil
}

// configureInside runs in the namespace. Without egress there is no default route: a connection
// to anywhere else is refused at once instead of timing out.
func (p Plan) configureInside(egress bool) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo in the namespace: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring lo up in the namespace: %w", err)
	}
	for _, a := range []netip.Addr{p.DNS, p.Istiod} {
		if err := addAddr(lo, netip.PrefixFrom(a, 32)); err != nil {
			return err
		}
	}
	link, err := netlink.LinkByName(meshLink)
	if err != nil {
		return fmt.Errorf("find %s in the namespace: %w", meshLink, err)
	}
	if err := addAddr(link, netip.PrefixFrom(p.Mesh, linkBits)); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring %s up in the namespace: %w", meshLink, err)
	}
	// A service address needs a route for the nat table to see the packet at all.
	if err := addRoute(link, p.Services, p.Host); err != nil {
		return err
	}
	if egress {
		if err := addRoute(link, netip.PrefixFrom(netip.IPv4Unspecified(), 0), p.Host); err != nil {
			return err
		}
	}
	// /proc/sys/net follows the namespace of the thread that opens it.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("forward packets between the pods: %w", err)
	}
	return nil
}

func addAddr(link netlink.Link, p netip.Prefix) error {
	addr := &netlink.Addr{IPNet: ipNet(p)}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("give %s address %s: %w", link.Attrs().Name, p, err)
	}
	return nil
}

func addRoute(link netlink.Link, dst netip.Prefix, via netip.Addr) error {
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(dst), Gw: via.AsSlice()}
	if err := netlink.RouteAdd(r); err != nil {
		return fmt.Errorf("route %s by %s: %w", dst, link.Attrs().Name, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// HasLink tells whether the machine has a link of that name.
func HasLink(name string) (bool, error) {
	link, err := findLink(name)
	return link != nil, err
}

// findLink gives nil where there is no such link.
func findLink(name string) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if _, none := errors.AsType[netlink.LinkNotFoundError](err); none {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find link %s: %w", name, err)
	}
	return link, nil
}

// DeleteLink removes the link, and with it its routes and its other end. A link that is not
// there is none to remove.
func DeleteLink(name string) error {
	link, err := findLink(name)
	if link == nil {
		return err
	}
	if err := netlink.LinkDel(link); err != nil {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}
