package build

import (
	"slices"
	"sync"

	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// index finds the units that read a row.
type index struct {
	mu    sync.Mutex // guards all while layers are built concurrently
	cells map[store.Row]*cell
}

// cell is a row that some unit read.
type cell struct {
	row     store.Row
	readers []*unit
}

func newIndex() *index { return &index{cells: map[store.Row]*cell{}} }

// link records what a unit read, in the place of what it read before, and tells whether that is
// something else.
func (x *index) link(u *unit, rows []store.Row) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	next := make([]*cell, len(rows))
	for i, row := range rows {
		c := x.cells[row]
		if c == nil {
			c = &cell{row: row}
			x.cells[row] = c
		}
		next[i] = c
	}
	if slices.Equal(next, u.reads) {
		return false
	}
	for _, c := range next {
		if !slices.Contains(u.reads, c) {
			c.readers = append(c.readers, u)
		}
	}
	former := u.reads
	u.reads = next
	for _, c := range former {
		if !slices.Contains(next, c) {
			x.unlink(u, c)
		}
	}
	return true
}

// forget takes a unit out.
func (x *index) forget(u *unit) { x.link(u, nil) }

func (x *index) unlink(u *unit, c *cell) {
	if at := slices.Index(c.readers, u); at >= 0 {
		last := len(c.readers) - 1
		c.readers[at], c.readers[last] = c.readers[last], nil
		c.readers = c.readers[:last]
	}
	if len(c.readers) == 0 {
		delete(x.cells, c.row)
	}
}

// readers calls visit with each unit that read one of the rows, once for each that it read.
func (x *index) readers(rows []store.Row, visit func(*unit)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, row := range rows {
		if c := x.cells[row]; c != nil {
			for _, u := range c.readers {
				visit(u)
			}
		}
	}
}
