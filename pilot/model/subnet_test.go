package model

import "testing"

// Subnets and addresses have several spellings, of which one is read. IPv4 within IPv6 is IPv4.
func TestSubnets(t *testing.T) {
	for text, want := range map[string]struct{ subnet, block string }{
		"10.0.0.0/8":           {"10.0.0.0/8", "10.0.0.0/8"},
		"10.1.2.3/8":           {"10.0.0.0/8", "10.0.0.0/8"},
		"::ffff:10.1.2.3/104":  {"10.0.0.0/8", "10.0.0.0/8"},
		"::FFFF:0a01:0203/128": {"10.1.2.3/32", "10.1.2.3/32"},
		"::ffff:0:0/96":        {"0.0.0.0/0", "0.0.0.0/0"},
		"::ffff:0:0/95":        {"::fffe:0:0/95", "::fffe:0:0/95"},
		"fd00::1/8":            {"fd00::/8", "fd00::/8"},
		"::/0":                 {"::/0", "::/0"},
		"10.0.0.1":             {"", "10.0.0.1/32"},
		"::ffff:10.0.0.1":      {"", "10.0.0.1/32"},
		"fd00::1":              {"", "fd00::1/128"},
		"fe80::1%eth0":         {"", ""},
		"fe80::1%eth0/64":      {"", ""},
		"10.0.0.0/33":          {"", ""},
		"10.0.0/8":             {"", ""},
		"":                     {"", ""},
	} {
		got := func(parsed interface{ String() string }, err error) string {
			if err != nil {
				return ""
			}
			return parsed.String()
		}
		subnet, err := ParseSubnet(text)
		if s := got(subnet, err); s != want.subnet {
			t.Errorf("%q: subnet %q, want %q", text, s, want.subnet)
		}
		block, err := ParseAddressBlock(text)
		if s := got(block, err); s != want.block {
			t.Errorf("%q: block %q, want %q", text, s, want.block)
		}
	}
}
