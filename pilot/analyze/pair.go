package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// pairsNamed is how many other objects are named beside the first that an object is in conflict with.
const pairsNamed = 3

// pairing is what one finding tells of an object, a field of it and the others that it is in conflict with.
type pairing struct {
	object      *model.Object
	field, code string
}

// paired is the finding of a pairing, which grows with each other object.
type paired struct {
	at    int // in the findings
	last  model.Key
	named []string
	more  int // others that are not named
}

// reportPair notes that an object is in conflict with another one, which the text names first. Many such objects make
// one finding, since as many pairs as their square are nothing to read.
func (m *mesh) reportPair(o, other *model.Object, field, code string, level Level, format string, args ...any) {
	key := pairing{o, field, code}
	p := m.pairs[key]
	switch {
	case p == nil:
		m.report(o, field, code, level, "%s "+format, slices.Concat([]any{other.Key}, args)...)
		m.pairs[key] = &paired{at: len(m.findings) - 1, last: other.Key}
	case p.last == other.Key: // objects come one after the other
	case len(p.named) < pairsNamed:
		p.last, p.named = other.Key, append(p.named, other.Key.String())
	default:
		p.last, p.more = other.Key, p.more+1
	}
}

// tellPairs completes the findings of pairs.
func (m *mesh) tellPairs() {
	for _, p := range m.pairs {
		if len(p.named) == 0 {
			continue
		}
		text := "; the same goes for " + strings.Join(p.named, ", ")
		if p.more > 0 {
			text += fmt.Sprintf(" and %d more", p.more)
		}
		m.findings[p.at].Message += text
	}
	m.pairs = map[pairing]*paired{}
}
