package build

import (
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// ownRows are the rows by which a layer's namespace may differ from Nobody, as the layer below looked
// for them: what the namespace has, and the facts about the class.
type ownRows struct {
	layer *layer
	unit  unit // which read what the namespace has
	// rows are those that Nobody has not.
	rows []store.Row
	// patterns are wildcards among them, which stand for all hosts that they cover.
	patterns []store.Row
	below    int     // the version of the layer below for which the units are known
	outline  Outline // of the layer below, from which the hosts are
}

// readOwn brings the own rows of a layer up to date, and tells whether other units may have read them.
func (l *layer) readOwn() bool {
	again := l.own == nil || l.isDirty(UnitID{Kind: kindOwnRows})
	if l.own == nil {
		l.own = &ownRows{layer: l, unit: unit{layer: l, id: UnitID{Kind: kindOwnRows}}}
	}
	if again {
		l.own.read()
	}
	if !again && l.own.below == l.below.version && l.own.outline == l.below.outline {
		return false
	}
	l.own.below, l.own.outline = l.below.version, l.below.outline
	return true
}

func (o *ownRows) read() {
	l := o.layer
	o.rows, o.patterns = nil, nil
	t := trace{client: l.key}
	for _, row := range l.builder.snapshot.Reader(t.record).Own(l.class.Namespace) {
		for _, sought := range asNobody(row, l.class.Namespace) {
			if o.rows = append(o.rows, sought); strings.HasPrefix(sought.Name, "*") {
				o.patterns = append(o.patterns, sought)
			}
		}
	}
	for _, fact := range l.class.Facts() {
		o.rows = append(o.rows, l.below.factRow(fact))
	}
	l.builder.index.link(&o.unit, t.rows)
}

// asNobody gives a row of a namespace as it is looked for in the name of Nobody: where the namespace is
// the client, where the row is of what lives in it, or both.
func asNobody(row store.Row, namespace string) []store.Row {
	var out []store.Row
	if row.Client == namespace {
		row.Client = resolve.Nobody
		out = append(out, row)
	}
	if row.Namespace == namespace {
		row.Namespace = resolve.Nobody
		out = append(out, row)
	}
	return out
}

// readers calls visit with each unit of the layer below that read one of the rows.
func (o *ownRows) readers(visit func(*unit)) {
	below := o.layer.below
	look := func(rows ...store.Row) {
		o.layer.builder.index.readers(rows, func(u *unit) {
			if u.layer == below {
				visit(u)
			}
		})
	}
	look(o.rows...)
	if len(o.patterns) == 0 {
		return
	}
	for _, host := range below.outline.Names() {
		for _, row := range o.patterns {
			if model.HostCovers(row.Name, host) {
				row.Name = host
				look(row)
			}
		}
	}
}

// reads tells whether a unit of the layer below read one of the rows.
func (o *ownRows) reads(u *unit) bool {
	found := false
	o.readers(func(other *unit) { found = found || other == u })
	return found
}
