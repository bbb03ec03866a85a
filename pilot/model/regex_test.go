package model

import (
	"regexp"
	"testing"
	"unicode"
)

// What is foreign was tried: Envoy 1.40 refuses it, and takes the others.
func TestForeignEscape(t *testing.T) {
	for pattern, want := range map[string]string{
		`a\.b\\p{Letter}`: "", `\Q\p{Letter}\E`: "", `\Q\p{Letter}`: "", `\pL\p{Lu}\P{^Greek}\p{Any}`: "", `[^\pN\p{Kawi}]`: "", `\x{ff}\xff\x{0041}`: "",
		`\p{Letter}`: `\p{Letter}`, `\Qa\E\p{greek}`: `\p{greek}`, `\\\pl`: `\pl`, `[\p{^LC}]`: `\p{^LC}`, `\P{Cn}`: `\P{Cn}`, `\p{ASCII}`: `\p{ASCII}`,
		`\p{ L }`: `\p{ L }`, `\x{100}`: `\x{100}`, `[\x{41}-\x{20AC}]`: `\x{20AC}`,
	} {
		if _, err := regexp.Compile(pattern); err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		if got := ForeignEscape(pattern, 0xff); got != want {
			t.Errorf("%s has the foreign escape %q, want %q", pattern, got, want)
		}
	}
	if got := ForeignEscape(`\x{20AC}`, unicode.MaxRune); got != "" {
		t.Errorf("%s is foreign in Unicode", got)
	}
}
