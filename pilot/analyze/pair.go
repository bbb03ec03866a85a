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
	at     int    // in the findings
	text   string // of the first pair
	others []model.Key
}

// reportPair notes that an object is in conflict with another one, which the text names first. Many such objects make
// one finding, since as many pairs as their square are nothing to read.
func (m *mesh) reportPair(o, other *model.Object, field, code string, level Level, format string, args ...any) {
	key := pairing{o, field, code}
	p := m.pairs[key]
	if p == nil {
		m.report(o, field, code, level, "%s "+format, slices.Concat([]any{other.Key}, args)...)
		at := len(m.findings) - 1
		m.pairs[key] = &paired{at: at, text: m.findings[at].Message, others: []model.Key{other.Key}}
		return
	}
	if slices.Contains(p.others[max(0, len(p.others)-1):], other.Key) { // objects come one after the other
		return
	}
	p.others = append(p.others, other.Key)
	more := p.others[1:]
	var names []string
	for _, k := range more[:min(len(more), pairsNamed)] {
		names = append(names, k.String())
	}
	text := p.text + "; the same goes for " + strings.Join(names, ", ")
	if n := len(more) - len(names); n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	m.findings[p.at].Message = text
}
