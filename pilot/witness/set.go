package witness

import (
	"regexp/syntax"
	"slices"
)

// checksMost bounds how often texts are compared with patterns that they may meet.
const checksMost = 10_000_000

// Set is patterns. It finds those that a text meets without looking at all: most patterns have a part that stands in
// every text that they are met by.
type Set struct {
	patterns []Pattern // each once
	places   [][]int   // of each, among those that were given
	matchers []func(string) bool
	ends     []ends
	byPart   map[string][]int // patterns by the part that they need, in lower case
	lengths  []int            // of these parts
	open     []int            // patterns that need none
}

// ends are what the texts begin with and end in that a pattern is met by, and the longest part that is in all of them;
// in lower case, whatever the pattern says.
type ends struct{ head, tail, part string }

// NewSet takes patterns, of which some may be the same.
func NewSet(patterns []Pattern) *Set {
	s := &Set{byPart: map[string][]int{}}
	at := map[Pattern]int{}
	for place, p := range patterns {
		i, known := at[p]
		if !known {
			i = len(s.patterns)
			at[p] = i
			s.add(p)
		}
		s.places[i] = append(s.places[i], place)
	}
	slices.Sort(s.lengths)
	s.lengths = slices.Compact(s.lengths)
	return s
}

func (s *Set) add(p Pattern) {
	e := p.ends()
	i := len(s.patterns)
	s.patterns, s.places = append(s.patterns, p), append(s.places, nil)
	s.matchers, s.ends = append(s.matchers, p.matcher()), append(s.ends, e)
	if e.part == "" {
		s.open = append(s.open, i)
		return
	}
	s.byPart[e.part] = append(s.byPart[e.part], i)
	s.lengths = append(s.lengths, len(e.part))
}

// meets gives the patterns that a text meets, in order, and counts how many it was compared with.
func (s *Set) meets(text string, checks *int) []int {
	may := slices.Clone(s.open)
	folded := lower(text)
	for _, n := range s.lengths {
		for i := 0; i+n <= len(folded); i++ {
			may = append(may, s.byPart[folded[i:i+n]]...)
		}
	}
	slices.Sort(may) // a part may stand at several places
	may = slices.Compact(may)
	*checks += len(may)
	return slices.DeleteFunc(may, func(i int) bool { return !s.matchers[i](text) })
}

// given gives the places of patterns among those that were given.
func (s *Set) given(patterns []int) []int {
	var out []int
	for _, i := range patterns {
		out = append(out, s.places[i]...)
	}
	slices.Sort(out)
	return out
}

// ends finds those of a pattern.
func (p Pattern) ends() ends {
	text := lower(p.Value)
	switch p.Kind {
	case Exact:
		return ends{text, text, text}
	case Prefix, Segments:
		return ends{head: text, part: text}
	case Suffix:
		return ends{tail: text, part: text}
	case Contains:
		return ends{part: text}
	}
	re, err := syntax.Parse(letters(p.Value), syntax.Perl)
	if err != nil {
		return ends{}
	}
	return endsOf(re.Simplify())
}

// endsOf finds those of a regular expression, as far as plain letters tell them.
func endsOf(re *syntax.Regexp) ends {
	switch re.Op {
	case syntax.OpLiteral:
		if text, ok := bytesOf(re.Rune); ok && re.Flags&syntax.FoldCase == 0 {
			text = lower(text)
			return ends{text, text, text}
		}
	case syntax.OpCapture:
		return endsOf(re.Sub[0])
	case syntax.OpPlus:
		return endsOf(re.Sub[0])
	case syntax.OpConcat:
		return endsOfAll(re.Sub)
	}
	return ends{}
}

// endsOfAll finds those of expressions one after the other.
func endsOfAll(all []*syntax.Regexp) ends {
	all = slices.DeleteFunc(slices.Clone(all), func(re *syntax.Regexp) bool {
		return re.Op == syntax.OpBeginText || re.Op == syntax.OpEndText || re.Op == syntax.OpEmptyMatch
	})
	if len(all) == 0 {
		return ends{}
	}
	out := ends{head: endsOf(all[0]).head, tail: endsOf(all[len(all)-1]).tail}
	for _, re := range all {
		if e := endsOf(re); len(e.part) > len(out.part) {
			out.part = e.part
		}
	}
	return out
}
