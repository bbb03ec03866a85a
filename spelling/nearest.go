package spelling

import (
	"cmp"
	"slices"
	"strings"
)

// nearestShown is how many near misses are named.
const nearestShown = 3

// Nearest gives those of the candidates that differ least from a text, the nearest first. What has hardly anything in
// common is left out, unless the text is its beginning.
func Nearest(text string, candidates []string) []string {
	type scored struct {
		text     string
		distance int
	}
	var all []scored
	text = strings.ToLower(text)
	for _, c := range candidates {
		lower := strings.ToLower(c)
		if d := Distance(text, lower); d <= max(len(text), len(c))/2 || text != "" && strings.HasPrefix(lower, text) {
			all = append(all, scored{c, d})
		}
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.text, b.text)) })
	var out []string
	for _, s := range all {
		if len(out) < nearestShown && !slices.Contains(out, s.text) {
			out = append(out, s.text)
		}
	}
	return out
}
