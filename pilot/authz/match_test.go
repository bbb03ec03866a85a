package authz

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// Policies compare as routes do: bytes with bytes, and the case of ASCII's letters alone is ignored.
func TestMatchesComparesBytes(t *testing.T) {
	for _, tc := range []struct {
		m    ir.StringMatch
		text string
		want bool
	}{
		{ir.StringMatch{Kind: ir.MatchRegex, Value: "g.d"}, "g\u00e9d", false},
		{ir.StringMatch{Kind: ir.MatchRegex, Value: "g..d"}, "g\u00e9d", true},
		{ir.StringMatch{Kind: ir.MatchRegex, Value: ".+"}, "", false},
		{ir.StringMatch{Kind: ir.MatchExact, Value: "k", IgnoreCase: true}, "\u212a", false},
		{ir.StringMatch{Kind: ir.MatchExact, Value: "k", IgnoreCase: true}, "K", true},
		{ir.StringMatch{Kind: ir.MatchPresent}, "", true},
	} {
		if got := matches(tc.m, tc.text); got != tc.want {
			t.Errorf("%+v and %q: %v", tc.m, tc.text, got)
		}
	}
}
