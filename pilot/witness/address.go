package witness

import (
	"net/netip"
	"slices"
)

// Addresses gives addresses by which prefixes are told apart: the first of each, the last, and those beside them.
func Addresses(prefixes []netip.Prefix) []netip.Addr {
	var out []netip.Addr
	for _, p := range prefixes {
		first, end := p.Masked().Addr(), last(p)
		for _, a := range []netip.Addr{first, end, first.Prev(), end.Next()} {
			if a.IsValid() && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// last gives the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 1 << (7 - i%8)
	}
	out, _ := netip.AddrFromSlice(bytes) // as long as it was
	return out
}
