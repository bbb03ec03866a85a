package witness

import "testing"

// What takes the place of a match goes by bytes as well: a letter of several is several.
func TestSubstitute(t *testing.T) {
	for _, tc := range []struct{ expression, replacement, text, want string }{
		{"^/a/(.*)$", `/b/\1`, "/a/x", "/b/x"},
		{".", "-", "\u00e9", "--"},
		{"^/(.)", `/\1-`, "/\u00e9", "/\xc3-\xa9"},
		{"\u00e9", "e\u00e8", "/\u00e9\xff", "/e\u00e8\xff"},
		{"a", `$1\\`, "a", `$1\`},
		{"(", "x", "a(", "a("},
	} {
		if got := Substitute(tc.expression, tc.replacement, tc.text); got != tc.want {
			t.Errorf("%q by %q in %q: %q, want %q", tc.expression, tc.replacement, tc.text, got, tc.want)
		}
	}
}

// Texts are compared as Envoy does: bytes with bytes, and the case is ignored of the letters of ASCII only.
func TestMatch(t *testing.T) {
	const kelvin = "\u212a" // its lower case is k
	for _, tc := range []struct {
		p    Pattern
		text string
		want bool
	}{
		{Pattern{Kind: Regex, Value: "g.d"}, "g\u00e9d", false},
		{Pattern{Kind: Regex, Value: "g..d"}, "g\u00e9d", true},
		{Pattern{Kind: Regex, Value: "g\u00e9d"}, "g\u00e9d", true},
		{Pattern{Kind: Regex, Value: `g\xc3\xa9d`}, "g\u00e9d", true},
		{Pattern{Kind: Regex, Value: `g\xe9d`}, "g\u00e9d", false},
		{Pattern{Kind: Regex, Value: `g\xe9d`}, "g\xe9d", true},
		{Pattern{Kind: Regex, Value: `g\x{212a}d`}, "g" + kelvin + "d", false},
		{Pattern{Kind: Regex, Value: "g[\u00e8\u00e9]d"}, "g\u00e9d", false},
		{Pattern{Kind: Regex, Value: "g.d"}, "g\xffd", true},
		{Pattern{Kind: Regex, Value: "g\ufffdd"}, "g\xffd", false},
		{Pattern{Kind: Regex, Value: "(?i)k"}, kelvin, false},
		{Pattern{Kind: Regex, Value: "(?i)k"}, "K", true},
		{Pattern{Kind: Regex, Value: "("}, "(", false},
		{Pattern{Kind: Exact, Value: "k", IgnoreCase: true}, kelvin, false},
		{Pattern{Kind: Exact, Value: "K", IgnoreCase: true}, "k", true},
		{Pattern{Kind: Exact, Value: "\u00e9", IgnoreCase: true}, "\u00c9", false},
		{Pattern{Kind: Exact, Value: "A\xff", IgnoreCase: true}, "a\xff", true},
		{Pattern{Kind: Exact, Value: "a\xff", IgnoreCase: true}, "a\xfe", false},
		{Pattern{Kind: Prefix, Value: "/k", IgnoreCase: true}, "/" + kelvin + "x", false},
		{Pattern{Kind: Prefix, Value: "/A", IgnoreCase: true}, "/aB", true},
		{Pattern{Kind: Prefix, Value: "/\xc3"}, "/\u00e9", true},
		{Pattern{Kind: Suffix, Value: "\xa9"}, "/\u00e9", true},
		{Pattern{Kind: Suffix, Value: "K", IgnoreCase: true}, "/" + kelvin, false},
		{Pattern{Kind: Contains, Value: "K", IgnoreCase: true}, "a" + kelvin + "b", false},
		{Pattern{Kind: Contains, Value: "K", IgnoreCase: true}, "akb\xff", true},
		{Pattern{Kind: Segments, Value: "/K", IgnoreCase: true}, "/k/x", true},
		{Pattern{Kind: Segments, Value: "/K", IgnoreCase: true}, "/" + kelvin, false},
	} {
		if got := tc.p.Match(tc.text); got != tc.want {
			t.Errorf("%+v and %q: %v", tc.p, tc.text, got)
		}
		// A Set passes over patterns that cannot be met, and over no others.
		checks := 0
		if got := len(NewSet([]Pattern{tc.p}).meets(tc.text, &checks)) > 0; got != tc.want {
			t.Errorf("a set of %+v and %q: %v", tc.p, tc.text, got)
		}
	}
}
