// Package witness finds values by which conditions can be told apart: for each way in which some of them hold and the
// others do not, a value of which that is true. It knows texts, addresses, and how values of several fields go together.
package witness

import (
	"encoding/binary"
	"slices"
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

// Form is what texts have to be. Expression is a regular expression for all of such a text; "" for any. Valid may ask
// for more, if that is met sooner or later by texts of the expression.
type Form struct {
	Expression string
	Valid      func(string) bool
}

// Text is one with the patterns of a Set that it meets, by their places.
type Text struct {
	Value string
	Met   []int
}

// Texts gives texts that tell patterns apart, as Set.Texts does.
func Texts(patterns []Pattern, form Form, usual ...string) []string {
	var out []string
	for _, t := range NewSet(patterns).Texts(form, usual...) {
		out = append(out, t.Value)
	}
	return out
}

// Texts gives texts that tell patterns apart: of two texts no set of patterns is met by both alone. The first of the
// usual ones comes first. It counts before what patterns name, the other usual ones before what is made of that. What
// is not of the form is not given. Patterns that stand first are told apart first, where there are too many.
func (s *Set) Texts(form Form, usual ...string) []Text {
	var out []Text
	seen := map[string]bool{}
	checks := 0
	for _, text := range slices.Concat(usual[:min(1, len(usual))], values(s.patterns), usual, candidates(s.patterns), s.explored(form)) {
		if checks > checksMost || !form.Valid(text) {
			continue
		}
		met := s.meets(text, &checks)
		if key := placesKey(met); !seen[key] {
			seen[key] = true
			out = append(out, Text{text, s.given(met)})
		}
	}
	return out
}

// placesKey writes places so that they can be compared.
func placesKey(places []int) string {
	var out []byte
	for _, i := range places {
		out = binary.AppendUvarint(out, uint64(i))
	}
	return string(out)
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
