package explain

import (
	"cmp"
	"slices"
	"strings"
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
		if d := distance(strings.ToLower(text), strings.ToLower(c)); d <= max(len(text), len(c))/2 {
			all = append(all, scored{c, d})
		}
	}
	slices.SortStableFunc(all, func(a, b scored) int { return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.text, b.text)) })
	var out []string
	for _, s := range all {
		if len(out) < nearestShown && !slices.Contains(out, s.text) {
			out = append(out, s.text)
		}
	}
	return out
}

// distance is Levenshtein's: how many characters have to be changed, put in or taken out.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := corner
			if a[i] != b[j] {
				cost++
			}
			corner = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
