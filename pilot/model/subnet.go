package model

import (
	"fmt"
	"net/netip"
	"strings"
)

// mappedBits is how many bits of an IPv6 address stand before an IPv4 address in it (RFC 4291, section 2.5.5.2).
const mappedBits = 96

// ParseSubnet reads a CIDR such as 10.0.0.0/8. Bits beyond its length do not count. One of IPv4 addresses within IPv6
// stands for these: connections have them as IPv4.
func ParseSubnet(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q is no CIDR such as 10.0.0.0/8", text)
	}
	if p.Addr().Is4In6() && p.Bits() >= mappedBits {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
	}
	return p.Masked(), nil
}

// ParseAddressBlock reads a CIDR, or an address, which stands for itself alone.
func ParseAddressBlock(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		if p, err := ParseSubnet(text); err == nil {
			return p, nil
		}
	} else if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a CIDR", text)
}
