package file

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// AllowEmptyFile is the name of a file that lets its directory be empty: what it held is deleted then.
const AllowEmptyFile = ".allow-empty"

// emptiness tells whether a directory is empty and what that means.
type emptiness struct {
	empty bool
	// always tells that the options let every directory be empty, allowed that a file lets this one.
	always, allowed bool
}

// suspect tells whether the directory is empty and nobody said that it may be. It may be the place of
// a disk that is not mounted, or the work of a script that went wrong.
func (e *emptiness) suspect() bool { return e.empty && !e.mayBeEmpty() }

func (e *emptiness) mayBeEmpty() bool { return e.always || e.allowed }

// holds tells whether any of our files is there.
func (d *directory) holds() bool {
	for _, f := range d.files {
		if f.left.IsZero() {
			return true
		}
	}
	return false
}

// confirm tells of each directory what waits for a confirmation.
func (x *index) confirm(dirs []*directory) {
	waiting := make([][]model.Key, len(dirs))
	for key := range x.waiting {
		dir := x.keys[key].dir
		waiting[dir] = append(waiting[dir], key)
	}
	for i, d := range dirs {
		path := filepath.Join(d.path, AllowEmptyFile)
		if len(waiting[i]) == 0 {
			x.complain(path, nil)
			continue
		}
		x.complain(path, []model.Problem{{
			Severity: model.SeverityError, Reason: model.ReasonDegraded, Origin: model.Origin{File: d.path, Line: 1},
			Message: fmt.Sprintf("the directory was found empty, as that of a disk that is not mounted; "+
				"what it held stays in effect: %s; to delete that, create the file %s or start pilot-discovery with --allow-empty", some(waiting[i]), path),
		}})
	}
}

// some names the first few keys and counts the others.
func some(keys []model.Key) string {
	const few = 5
	slices.SortFunc(keys, model.Key.Compare)
	var names []string
	for _, key := range keys[:min(few, len(keys))] {
		names = append(names, key.String())
	}
	text := strings.Join(names, ", ")
	if more := len(keys) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
