package model

import (
	"maps"
	"slices"
	"strings"
)

// HasLabels tells whether labels has every pair of want; it has those of an empty set.
func HasLabels(labels, want map[string]string) bool {
	for k, v := range want {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// Selects tells whether a selector matches labels. An empty one selects nothing in particular, so it
// matches none.
func Selects(selector, labels map[string]string) bool {
	return len(selector) > 0 && HasLabels(labels, selector)
}

// LabelSet is a canonical form of a set of labels; keys and values hold neither "=" nor ",".
func LabelSet(labels map[string]string) string {
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(labels)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(k + "=" + labels[k])
	}
	return b.String()
}

// HasLabelSet tells whether labels has every pair of a LabelSet.
func HasLabelSet(labels map[string]string, set string) bool {
	for pair := range strings.SplitSeq(set, ",") {
		k, v, _ := strings.Cut(pair, "=")
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}
