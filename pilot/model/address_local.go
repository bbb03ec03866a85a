package model

import "net/netip"

// metadata are the addresses at which clouds tell a machine its secrets and that are not link-local.
func metadata() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
		netip.MustParsePrefix("168.63.129.16/32"),   // Azure
		netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud
		netip.MustParsePrefix("fd00:ec2::/32"),      // AWS
		netip.MustParsePrefix("fd20:ce::254/128"),   // Google Cloud
	}
}

// EmbeddedAddress gives the address of IPv4 in one of IPv6 (RFC 4291, 2.5.5.2, and RFC 6052), and all others as they
// are but for their zone.
func EmbeddedAddress(a netip.Addr) netip.Addr {
	a = a.WithZone("").Unmap()
	if !netip.MustParsePrefix("64:ff9b::/96").Contains(a) {
		return a
	}
	b := a.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}

// LocalAddress tells what an address is that means another thing on each machine, or a cloud's metadata: whoever
// writes configuration may lead nobody there. It gives "" for all others. An address counts as the one that is embedded
// in it.
func LocalAddress(a netip.Addr) string {
	a = EmbeddedAddress(a)
	for _, p := range metadata() {
		if p.Contains(a) {
			return "an address of cloud metadata"
		}
	}
	switch {
	case a.IsLoopback(), a.IsUnspecified(), a.Is4() && a.As4()[0] == 0:
		return "an address of this machine"
	case a.IsLinkLocalUnicast(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "an address of the link"
	}
	return ""
}
