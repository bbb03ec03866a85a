package store

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Row names a row of a table of a snapshot. Rows are what reads are recorded by and what changes are
// told by, so that whoever reads one learns that it has another value, and nobody declares anything.
type Row struct {
	Table string
	Place
}

// Place finds a row in its table, such as the list that an index has there: for a client, which is a
// namespace, "" for everyone, in a namespace, under a name; each may be empty.
type Place struct{ Client, Namespace, Name string }

// owner is the namespace whose own the row is; "" for none.
func (k Place) owner() string {
	if k.Client != "" {
		return k.Client
	}
	return k.Namespace
}

// rows is a table as a snapshot has it.
type rows[V any] struct {
	table string
	data  pmap[Place, V]
}

// read gives a row, or the zero value, and records that it was read. There is no other way for a
// reader to see a row.
func (t rows[V]) read(r Reader, k Place) V {
	r.record(Row{t.table, k})
	return t.data.row(k)
}

// table is the writer's side of a table. It notes which rows get another value, so that whatever is
// kept in a table is reported by it.
type table[V any] struct {
	name    string
	data    edit[Place, V]
	changed *journal
	own     *owned // nil where no row is particular to a namespace
}

// journal holds the rows, of all tables, that have another value than at the last commit.
type journal struct{ rows map[Row]struct{} }

func newJournal() *journal { return &journal{map[Row]struct{}{}} }

// note does nothing without a journal, which a table has that no reader sees.
func (j *journal) note(row Row) {
	if j != nil {
		j.rows[row] = struct{}{}
	}
}

// take gives the rows, and forgets them. The next commit has a map of its own: one that has held the rows of a load is
// as slow to walk through for ever.
func (j *journal) take() []Row {
	rows := slices.Collect(maps.Keys(j.rows))
	j.rows = map[Row]struct{}{}
	return rows
}

func newTable[V any](name string, changed *journal, own *owned) *table[V] {
	return &table[V]{name: name, changed: changed, own: own}
}

func (t *table[V]) row(k Place) V { return t.data.row(k) }

// put gives a row another value.
func (t *table[V]) put(k Place, v V) {
	if _, had := t.data.get(k); !had {
		t.own.note(Row{t.name, k}, true)
	}
	t.changed.note(Row{t.name, k})
	t.data.set(k, v)
}

// refresh gives a row a value that means the same.
func (t *table[V]) refresh(k Place, v V) { t.data.set(k, v) }

func (t *table[V]) drop(k Place) {
	if _, had := t.data.get(k); !had {
		return
	}
	t.own.note(Row{t.name, k}, false)
	t.changed.note(Row{t.name, k})
	t.data.delete(k)
}

// relist puts an item into the sorted list that a row is, or takes it out.
func relist[T any](t *table[[]T], k Place, item T, present bool, order func(a, b T) int) {
	before := t.row(k)
	at, found := slices.BinarySearchFunc(before, item, order)
	switch {
	case present == found:
	case present:
		t.put(k, slices.Insert(slices.Clip(before), at, item)) // a new list: snapshots have the former
	case len(before) == 1:
		t.drop(k)
	default:
		t.put(k, slices.Delete(slices.Clone(before), at, at+1))
	}
}

func (t *table[V]) freeze() rows[V] { return rows[V]{t.name, t.data.freeze()} }

// owned lists for each namespace the rows that it alone has, or may see otherwise than others.
type owned struct{ *index[Row] }

func newOwned(changed *journal) *owned {
	return &owned{newIndex(Index{Name: "rows of a namespace"}, changed, nil, compareRows)}
}

func (o *owned) note(row Row, present bool) {
	if o == nil || row.owner() == "" {
		return
	}
	if at := (Place{Namespace: row.owner()}); present {
		o.put(row, false, at)
	} else {
		o.take(row, false, at)
	}
}

func compareRows(a, b Row) int {
	return cmp.Or(strings.Compare(a.Table, b.Table), strings.Compare(a.Client, b.Client), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// rowSet is a set of rows, for merging commits.
func rowSet(lists ...[]Row) []Row {
	set := newJournal()
	for _, row := range slices.Concat(lists...) {
		set.note(row)
	}
	return set.take()
}
