// Package witness finds values by which conditions can be told apart: for each way in which some of them hold and the
// others do not, a value of which that is true. It knows texts, addresses, and how values of several fields go together.
package witness

import (
	"regexp"
	"slices"
	"strings"
)

// Kind is how a Pattern compares.
type Kind uint8

// The kinds. Segments is a prefix that ends where a segment of a path does; a Regex is for the whole text.
const (
	Exact Kind = iota
	Prefix
	Suffix
	Contains
	Segments
	Regex
)

// Pattern is a condition on a text.
type Pattern struct {
	Kind       Kind
	Value      string
	IgnoreCase bool
}

// fillers stand where a pattern says nothing.
var fillers = []string{"any", "other", "0"}

// matcher gives the function that tells whether a text meets a pattern.
func (p Pattern) matcher() func(string) bool {
	fold := func(s string) string { return s }
	if p.IgnoreCase {
		fold = strings.ToLower
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
	case Regex:
		if re, err := regexp.Compile(`\A(?:` + p.Value + `)\z`); err == nil {
			return re.MatchString
		}
		return func(string) bool { return false }
	}
	return func(s string) bool { return fold(s) == want }
}

// Form is what texts have to be. Expression is a regular expression for all of such a text; "" for any. Valid may ask
// for more, if that is met sooner or later by texts of the expression.
type Form struct {
	Expression string
	Valid      func(string) bool
}

// Texts gives texts that tell patterns apart: of two texts no set of patterns is met by both alone. The first of the
// usual ones comes first. It counts before what patterns name, the other usual ones before what is made of that. What is not of the form
// is not given.
func Texts(patterns []Pattern, form Form, usual ...string) []string {
	patterns = unique(patterns)
	var matchers []func(string) bool
	for _, p := range patterns {
		matchers = append(matchers, p.matcher())
	}
	var out []string
	seen := map[string]bool{}
	for _, text := range slices.Concat(usual[:min(1, len(usual))], values(patterns), usual, candidates(patterns), explored(patterns, form)) {
		if !form.Valid(text) {
			continue
		}
		met := make([]byte, len(matchers))
		for i, is := range matchers {
			if is(text) {
				met[i] = 1
			}
		}
		if !seen[string(met)] {
			seen[string(met)] = true
			out = append(out, text)
		}
	}
	return out
}

func unique(patterns []Pattern) []Pattern {
	seen := map[Pattern]bool{}
	return slices.DeleteFunc(slices.Clone(patterns), func(p Pattern) bool {
		twice := seen[p]
		seen[p] = true
		return twice
	})
}

// values gives what patterns name.
func values(patterns []Pattern) []string {
	var out []string
	for _, p := range patterns {
		if p.Kind != Regex {
			out = append(out, p.Value)
		}
	}
	return out
}

// combinedMost bounds how many prefixes are tried with how many suffixes.
const combinedMost = 64

// candidates gives texts that patterns but for regular expressions are met by, alone and together, and texts beside
// them. Prefixes that a text has are all prefixes of the longest, so that one text for each of them and each suffix is
// enough.
func candidates(patterns []Pattern) []string {
	var exact, inner []string
	heads, tails := []string{""}, []string{""}
	cased := false
	for _, p := range patterns {
		cased = cased || p.IgnoreCase
		switch p.Kind {
		case Exact:
			exact = append(exact, p.Value)
		case Prefix:
			heads = append(heads, p.Value)
		case Segments:
			heads = append(heads, p.Value, p.Value+"/")
		case Suffix:
			tails = append(tails, p.Value)
		case Contains:
			inner = append(inner, p.Value)
		}
	}
	out := exact
	for i, h := range heads {
		for j, t := range tails {
			if i > combinedMost && j > combinedMost {
				continue
			}
			out = append(out, joined(h, t)...)
			for _, f := range slices.Concat(fillers, inner) {
				out = append(out, h+f+t, h+f+"/"+strings.TrimPrefix(t, "/"))
			}
		}
	}
	for i, a := range inner {
		for _, b := range inner[:i] {
			out = append(out, a+b, a+fillers[0]+b)
		}
	}
	for _, e := range exact { // an exact text is no prefix
		out = append(out, e+fillers[0], e+"/"+fillers[0])
	}
	if cased {
		for _, text := range slices.Clone(out) {
			out = append(out, strings.ToUpper(text), strings.ToLower(text))
		}
	}
	return out
}

// joined gives a head with a tail, as a text that ends in the tail: also where they share letters.
func joined(head, tail string) []string {
	var out []string
	for n := min(len(head), len(tail)); n >= 0; n-- {
		if strings.HasSuffix(head, tail[:n]) {
			out = append(out, head+tail[n:])
		}
	}
	return out
}
