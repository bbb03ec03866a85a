package witness

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// Of each two patterns that can be told apart there are texts that do so: for both, for one, for none.
func TestTextsTellPatternsApart(t *testing.T) {
	form := Form{Valid: func(string) bool { return true }}
	for _, c := range []struct {
		a, b                      Pattern
		both, first, second, none bool
	}{
		{Pattern{Prefix, "a", false}, Pattern{Prefix, "", false}, true, false, true, false},
		{Pattern{Prefix, "a", false}, Pattern{Prefix, "ab", false}, true, true, false, true},
		{Pattern{Prefix, "a", false}, Pattern{Suffix, "b", false}, true, true, true, true},
		{Pattern{Prefix, "a", false}, Pattern{Exact, "a", false}, true, true, false, true},
		{Pattern{Segments, "/a", false}, Pattern{Prefix, "/a", false}, true, false, true, true},
		{Pattern{Exact, "a", true}, Pattern{Exact, "a", false}, true, true, false, true},
		{Pattern{Contains, "x", false}, Pattern{Contains, "y", false}, true, true, true, true},
		{Pattern{Regex, "a[0-9]+", false}, Pattern{Regex, "a1.*", false}, true, true, true, true},
		{Pattern{Regex, "ab*", false}, Pattern{Suffix, "bbb", false}, true, true, true, true},
	} {
		found := map[string]bool{}
		for _, text := range Texts([]Pattern{c.a, c.b}, form, "usual") {
			found[fmt.Sprint(c.a.matcher()(text), c.b.matcher()(text))] = true
		}
		for pair, want := range map[string]bool{"true true": c.both, "true false": c.first, "false true": c.second, "false false": c.none} {
			if found[pair] != want {
				t.Errorf("%v, %v: %s: %t", c.a, c.b, pair, found[pair])
			}
		}
	}
}

// What is of no prefix within another one is found.
func TestAddressesTellPrefixesApart(t *testing.T) {
	outer, inner := netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/16")
	all := Addresses([]netip.Prefix{outer, inner})
	for what, is := range map[string]func(netip.Addr) bool{
		"in both": inner.Contains,
		"in one":  func(a netip.Addr) bool { return outer.Contains(a) && !inner.Contains(a) },
		"in none": func(a netip.Addr) bool { return !outer.Contains(a) },
	} {
		if !slices.ContainsFunc(all, is) {
			t.Errorf("none is %s: %v", what, all)
		}
	}
}
