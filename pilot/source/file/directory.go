package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// directory is what is known of one directory.
type directory struct {
	path  string
	info  os.FileInfo // of the directory when it was last read
	files map[string]*fileState
	// lost is why it cannot be read now; what it held stays.
	lost error
}

// fileState is what is known of one file.
type fileState struct {
	info os.FileInfo
	// objects are those that the file holds now, held those of its former content that stay in
	// effect although the file does not give them now.
	objects, held []*model.Object
	invalid       map[model.Key]bool // is in the file, but not in a form that can take effect
	problems      []model.Problem
	ignored       []string
}

// named tells whether a directory's entry is one of ours: YAML or JSON, and no editor's
// temporary file.
func named(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") {
		return false
	}
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// read brings the directory's files up to date and tells whether anything may have changed.
// Files in suspect are read even if they look unchanged. Like kubectl's -f, it does not descend.
func (d *directory) read(suspect map[string]bool) bool {
	info, err := os.Stat(d.path)
	var entries []os.DirEntry
	if err == nil {
		entries, err = os.ReadDir(d.path)
	}
	if err != nil {
		changed := d.lost == nil || d.lost.Error() != err.Error()
		d.lost = err
		return changed
	}
	changed := d.lost != nil
	d.info, d.lost = info, nil
	seen := map[string]bool{}
	for _, entry := range entries {
		name := entry.Name()
		if !named(name) {
			continue
		}
		path := filepath.Join(d.path, name)
		info, err := os.Stat(path) // follows links, as a mounted ConfigMap needs it
		if err == nil && !info.Mode().IsRegular() {
			continue
		}
		if errors.Is(err, os.ErrNotExist) {
			continue // gone since the listing, or a dangling link
		}
		seen[name] = true
		old := d.files[name]
		if err == nil && old != nil && !suspect[path] && sameFile(old.info, info) {
			continue
		}
		d.files[name] = readFile(path, info, err, old)
		changed = true
	}
	for name := range d.files {
		if !seen[name] {
			delete(d.files, name)
			changed = true
		}
	}
	return changed
}

func sameFile(a, b os.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// readFile reads one file. What it held before and does not give now for want of sense stays.
func readFile(path string, info os.FileInfo, err error, old *fileState) *fileState {
	next := &fileState{info: info, invalid: map[model.Key]bool{}}
	var data []byte
	if err == nil {
		data, err = readBounded(path)
	}
	if err != nil {
		next.info = nil // try again
		next.hold(old, nil)
		next.fileProblem(path, "cannot be read: "+reason(err))
		return next
	}
	if len(bytes.TrimSpace(data)) == 0 {
		if next.hold(old, nil); len(next.held) > 0 {
			next.fileProblem(path, "is empty; delete the file to delete what it held")
		}
		return next
	}
	d := decodeFile(data, path)
	next.ignored, next.problems = d.ignored, d.problems
	for _, key := range d.invalid {
		next.invalid[key] = true
	}
	for _, o := range d.objects {
		found := validate.Object(o)
		for i := range found {
			found[i].Origin.Line = d.nodes[o].fieldLine(found[i].Field)
		}
		next.problems = append(next.problems, found...)
		if slices.ContainsFunc(found, func(p model.Problem) bool { return p.Severity == model.SeverityError }) {
			next.invalid[o.Key] = true
			continue
		}
		next.objects = append(next.objects, o)
	}
	if d.broken {
		next.hold(old, nil)
	} else {
		next.hold(old, next.invalid)
	}
	next.tellHeld()
	return next
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFileBytes+1))
}

// reason gives an error of the file system without the path, which is told beside it.
func reason(err error) string {
	var at *os.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}

// hold keeps the former objects that are not there now: all of them, or with only those of
// these keys.
func (f *fileState) hold(old *fileState, only map[model.Key]bool) {
	if old == nil {
		return
	}
	there := map[model.Key]bool{}
	for _, o := range f.objects {
		there[o.Key] = true
	}
	for _, o := range slices.Concat(old.objects, old.held) {
		if !there[o.Key] && (only == nil || only[o.Key]) {
			there[o.Key] = true
			f.held = append(f.held, o)
		}
	}
}

func (f *fileState) fileProblem(path, message string) {
	if len(f.held) > 0 {
		message += fmt.Sprintf("; its %d former objects stay in effect", len(f.held))
	}
	f.problems = append(f.problems, model.Problem{
		Severity: model.SeverityError, Reason: model.ReasonInvalid, Message: message,
		Origin: model.Origin{File: path, Line: 1},
	})
}

// tellHeld adds to the problems what stays in effect in spite of them.
func (f *fileState) tellHeld() {
	held := map[model.Key]bool{}
	for _, o := range f.held {
		held[o.Key] = true
	}
	for i := range f.problems {
		p := &f.problems[i]
		switch {
		case p.Severity != model.SeverityError:
		case held[p.Object]:
			p.Message += "; its last good version stays in effect"
		case p.Object.Name == "" && len(held) > 0:
			p.Message += "; what the file held before stays in effect"
		}
	}
}
