package witness

import (
	"math"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Match tells whether a text meets a pattern, as Envoy compares them.
func (p Pattern) Match(text string) bool { return p.matcher()(text) }

// matcher gives the function that tells whether a text meets a pattern.
func (p Pattern) matcher() func(string) bool {
	if p.Kind == Regex {
		return expressionMatcher(p.Value)
	}
	fold := func(s string) string { return s }
	if p.IgnoreCase {
		fold = lower
	}
	want := fold(p.Value)
	switch p.Kind {
	case Prefix:
		return func(s string) bool { return strings.HasPrefix(fold(s), want) }
	case Suffix:
		return func(s string) bool { return strings.HasSuffix(fold(s), want) }
	case Contains:
		return func(s string) bool { return strings.Contains(fold(s), want) }
	case Segments:
		return func(s string) bool {
			rest, ok := strings.CutPrefix(fold(s), want)
			return ok && (rest == "" || rest[0] == '/')
		}
	}
	return func(s string) bool { return fold(s) == want }
}

// expressionMatcher compares whole texts with an expression of RE2, byte by byte: Envoy takes neither for UTF-8.
func expressionMatcher(expression string) func(string) bool {
	re, err := regexp.Compile(`\A(?:` + letters(expression) + `)\z`)
	return func(s string) bool { return err == nil && re.MatchString(letters(s)) }
}

// backreference stands for a group of an expression in what takes the place of a match.
var backreference = regexp.MustCompile(`\\([0-9\\])`)

// Substitute puts a replacement, with \0 to \9 for the groups of a match, in the place of all matches of an expression
// of RE2 in a text. It goes by bytes, as Match does. A text stays as it is where the expression is none.
func Substitute(expression, replacement, text string) string {
	re, err := regexp.Compile(letters(expression))
	if err != nil {
		return text
	}
	replacement = strings.ReplaceAll(letters(replacement), "$", "$$")
	replacement = backreference.ReplaceAllStringFunc(replacement, func(s string) string {
		if s == `\\` {
			return `\`
		}
		return "${" + s[1:] + "}"
	})
	out, _ := bytesOf([]rune(re.ReplaceAllString(letters(text), replacement)))
	return out
}

// letters makes a letter of each byte, for Go's expressions, which know letters only.
func letters(bytes string) string {
	if isASCII(bytes) {
		return bytes
	}
	out := make([]rune, len(bytes))
	for i := range out {
		out[i] = rune(bytes[i])
	}
	return string(out)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// bytesOf is the reverse of letters. ok is false for letters that stand for no byte.
func bytesOf(letters []rune) (bytes string, ok bool) {
	out := make([]byte, len(letters))
	for i, r := range letters {
		if r > math.MaxUint8 {
			return "", false
		}
		out[i] = byte(r)
	}
	return string(out), true
}

// lower writes the letters of ASCII in lower case. Envoy knows the case of no others, and keeps all other bytes.
func lower(s string) string {
	upper := func(c byte) bool { return 'A' <= c && c <= 'Z' }
	for i := range len(s) {
		if !upper(s[i]) {
			continue
		}
		out := []byte(s)
		for j := i; j < len(out); j++ {
			if upper(out[j]) {
				out[j] += 'a' - 'A'
			}
		}
		return string(out)
	}
	return s
}
