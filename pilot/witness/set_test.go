package witness

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

var anyText = Form{Valid: func(string) bool { return true }}

// A set finds the patterns that a text meets as a comparison with each of them does.
func TestSetMeets(t *testing.T) {
	values := []string{"", "a", "ab", "B", "a/b", "/a", "aba", "İ", "K"}
	expressions := []string{"a.*", ".*b", "(?:ab)+", "(a|B)b", "^a$", "a?b", "(?i)ab", "[ab]", "", ".*", "a{2,3}", "(ab)/.*", "(", "İ+"}
	texts := []string{"", "a", "A", "ab", "AB", "aB", "abab", "b", "a/b", "ab/x", "/a", "/a/b", "aba", "xaby", "İ", "i̇", "k", "aa", "aaa"}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var patterns []Pattern
		for range 1 + r.IntN(6) {
			p := Pattern{Kind: Kind(r.IntN(int(Regex) + 1)), Value: values[r.IntN(len(values))], IgnoreCase: r.IntN(3) == 0}
			if p.Kind == Regex {
				p.Value = expressions[r.IntN(len(expressions))]
			}
			patterns = append(patterns, p)
		}
		s := NewSet(patterns)
		for _, text := range texts {
			var want []int
			for i, p := range patterns {
				if p.matcher()(text) {
					want = append(want, i)
				}
			}
			checks := 0
			if got := s.given(s.meets(text, &checks)); !slices.Equal(got, want) {
				t.Fatalf("%q meets %v of %v, want %v", text, got, patterns, want)
			}
		}
	}
}

// Of many expressions each has a text of its own, and so has each two of them that have one in common. Texts
// are compared with few.
func TestManyExpressionsAreToldApart(t *testing.T) {
	const n = 2000
	var patterns []Pattern
	for i := range n {
		patterns = append(patterns, Pattern{Kind: Regex, Value: fmt.Sprintf("/s%d/[0-9]+/.*", i)})
	}
	patterns = append(patterns, Pattern{Kind: Regex, Value: "/s77/.*/x"})
	s := NewSet(patterns)
	alone := make([]bool, len(patterns))
	both := false
	for _, text := range s.Texts(anyText, "/") {
		if len(text.Met) == 1 {
			alone[text.Met[0]] = true
		}
		both = both || slices.Equal(text.Met, []int{77, n})
	}
	if at := slices.Index(alone, false); at >= 0 {
		t.Errorf("no text is of %s alone", patterns[at].Value)
	}
	if !both {
		t.Error("no text is of /s77/[0-9]+/.* and /s77/.*/x")
	}
	checks := 0
	if s.meets("/s1711/8/x", &checks); checks > 10 {
		t.Errorf("a text is compared with %d patterns", checks)
	}
	pairs := 0
	for range s.overlapping() {
		pairs++
	}
	if pairs > 10 {
		t.Errorf("%d pairs are walked through, one has a text in common", pairs)
	}
}
