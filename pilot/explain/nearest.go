package explain

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/spelling"
)

// nearestShown is how many near misses are named.
const nearestShown = 3

// nearest gives those of the candidates that differ least from a text, the nearest first; what has hardly
// anything in common is left out.
func nearest(text string, candidates []string) []string {
	type scored struct {
		text     string
		distance int
	}
	var all []scored
	for _, c := range candidates {
		if d := spelling.Distance(strings.ToLower(text), strings.ToLower(c)); d <= max(len(text), len(c))/2 {
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
