package witness

import (
	"slices"
	"strings"
)

// fillers stand where a pattern says nothing.
var fillers = []string{"any", "other", "0"}

// Of parts that are put together each of the first combinedMost goes with all others, and fewer where that would make
// more than madeMost.
const (
	combinedMost = 64
	madeMost     = 100_000
)

// pairs calls do with the places of parts that go together.
func pairs(n, m int, do func(i, j int)) {
	most := min(combinedMost, max(1, madeMost/max(n, m, 1)))
	for i := range n {
		for j := range m {
			if i > most && j > most {
				break // all further ones come late as well
			}
			do(i, j)
		}
	}
}

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
	out := slices.Concat(exact, around(heads, tails, inner))
	pairs(len(inner), len(inner), func(i, j int) {
		out = append(out, inner[i]+inner[j], inner[i]+fillers[0]+inner[j])
	})
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

// around gives texts of heads and tails, with what stands between them.
func around(heads, tails, inner []string) []string {
	within := min(len(inner), max(1, madeMost/len(heads)/len(tails)))
	between := slices.Concat(fillers, inner[:within])
	var out []string
	filled := func(h, f, t string) { out = append(out, h+f+t, h+f+"/"+strings.TrimPrefix(t, "/")) }
	pairs(len(heads), len(tails), func(i, j int) {
		out = append(out, joined(heads[i], tails[j])...)
		for _, f := range between {
			filled(heads[i], f, tails[j])
		}
	})
	rest := inner[within:]
	pairs(len(heads), len(rest), func(i, k int) { filled(heads[i], rest[k], "") })
	pairs(len(rest), len(tails), func(k, j int) { filled("", rest[k], tails[j]) })
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
