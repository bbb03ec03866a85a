package model

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable gives a text that comes from elsewhere (a proxy, a node, YAML) as one line that a terminal or
// a log only shows. Control characters, line ends, signs that turn the direction of writing, and invalid
// UTF-8 are escaped as Go does it.
func Printable(text string) string {
	if !strings.ContainsFunc(text, unprintable) && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && size == 1 || unprintable(r) {
			quoted := strconv.Quote(text[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	return b.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
