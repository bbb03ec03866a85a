package spelling

import (
	"slices"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"reviews", "ratings", "details", "productpage-v1-78fh4pd9r2-pn9tb", "productpage", "Review", "revues", "review-x"}
	for text, want := range map[string][]string{
		"review":     {"Review", "reviews", "review-x"}, // the nearest first, and no more than three
		"rating":     {"ratings"},
		"productp":   {"productpage", "productpage-v1-78fh4pd9r2-pn9tb"}, // what it begins, however much longer
		"zzzzzzzzzz": nil,
		"":           nil,
	} {
		if got := Nearest(text, names); !slices.Equal(got, want) {
			t.Errorf("Nearest(%q) = %q, want %q", text, got, want)
		}
	}
	if got := Nearest("a", []string{"a", "a"}); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the same name is given %d times", len(got))
	}
}
