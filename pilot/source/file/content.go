package file

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// file is one of our files, there or gone a moment ago.
type file struct {
	dir        int // its directory's place in the order
	name, path string
	// info is of when it was last read, nil if it could not be.
	info  os.FileInfo
	parts []part
	// left is when it was removed, zero for a file that is there; linked tells of one behind a link.
	left   time.Time
	linked bool
	// asked counts how often the disk was asked for it; hangs tells that the last time has not ended.
	asked int
	hangs bool
	// content is what it held last.
	content *content
}

// part is a document of a file, known by its text, and by its JSON where that was written.
type part struct {
	text, json uint64 // hashes; 0 for none
	line       int    // on which the document starts
	*decoded
}

// content is what a file's documents amount to. It is never changed.
type content struct {
	// objects are those that the file holds now, held those of its former content that stay in
	// effect although the file does not give them now.
	objects, held []*model.Object
	read          time.Time // when that was found in the file
	invalid       []Refusal // are in the file, but not in a form that can take effect
	problems      []model.Problem
}

// reading is what came of an attempt to read a file.
type reading struct {
	info    os.FileInfo
	parts   []part
	content *content // nil for a file that is not there
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

// reader reads files, one after the other, for one goroutine.
type reader struct {
	decoder
	disk disk
	seed maphash.Seed // of the hashes of parts
	data []byte
	docs []document
	// What the disk said last.
	info os.FileInfo
	err  error
	see  glance
}

// load reads a file's bytes into the reader's buffer. It may take for ever.
func (r *reader) load(f *file) { r.data, r.info, r.err = r.disk.load(f.path, r.data) }

// read decodes the file that was loaded, of which it knows what it held before. It changes nothing
// of the file.
func (r *reader) read(f *file) reading {
	out := r.readNow(f)
	if out.content != nil && out.content != f.content {
		out.content.read = time.Now()
	}
	return out
}

func (r *reader) readNow(f *file) reading {
	switch {
	case errors.Is(r.err, os.ErrNotExist):
		return reading{}
	case r.err != nil:
		return f.unread(r.info, r.err)
	}
	info := r.info
	if len(bytes.TrimSpace(r.data)) == 0 {
		next := &content{}
		if next.hold(f.content, nil); len(next.held) > 0 {
			next.problem(f.path, model.ReasonInvalid, "is empty; delete the file to delete what it held")
		}
		return reading{info: info, content: next}
	}
	if p, ok := tooLarge(r.data, f.path); ok {
		next := &content{problems: []model.Problem{p}}
		next.hold(f.content, nil)
		next.tellHeld()
		return reading{info: info, content: next}
	}
	parts, same := r.parse(f)
	if same {
		return reading{info: info, parts: parts, content: f.content}
	}
	return reading{info: info, parts: parts, content: assemble(parts, f.content)}
}

// unread is what comes of a file that cannot be read.
func (f *file) unread(info os.FileInfo, err error) reading {
	next := &content{}
	next.hold(f.content, nil)
	next.problem(f.path, model.ReasonDegraded, "cannot be read: "+reason(err))
	return reading{info: info, content: next}
}

// parse gives the parts of the text that was loaded. Those that the file had before are not
// decoded again. same tells that it has what it had.
func (r *reader) parse(f *file) (parts []part, same bool) {
	r.name = f.path
	r.docs = splitDocuments(r.docs[:0], r.data)
	parts = make([]part, 0, len(r.docs))
	same = f.parts != nil && len(r.docs) == len(f.parts) // without parts it could not be read, or was empty
	former := formerParts{parts: f.parts}
	for i, doc := range r.docs {
		p := part{text: maphash.Bytes(r.seed, doc.text), line: doc.base}
		old := former.find(func(o *part) bool { return o.text == p.text })
		written := false
		if old == nil {
			if written = r.write(doc); written {
				p.json = maphash.Bytes(r.seed, r.writer.buf)
				old = former.find(func(o *part) bool { return o.json == p.json })
			}
		}
		if old != nil {
			p.json, p.decoded = old.json, old.moved(doc.base-old.line)
		} else {
			out := r.decode(doc, written)
			p.decoded = &out
		}
		same = same && p.decoded == f.parts[i].decoded
		parts = append(parts, p)
	}
	return parts, same
}

// formerParts finds parts that are there again, mostly in the same order.
type formerParts struct {
	parts []part
	next  int
}

func (f *formerParts) find(same func(*part) bool) *part {
	for i := range f.parts {
		at := (f.next + i) % len(f.parts)
		if same(&f.parts[at]) {
			f.next = at + 1
			return &f.parts[at]
		}
	}
	return nil
}

// moved gives what a document holds that now stands some lines further down.
func (d *decoded) moved(lines int) *decoded {
	if lines == 0 {
		return d
	}
	next := &decoded{invalid: slices.Clone(d.invalid), unnamed: d.unnamed, broken: d.broken, problems: slices.Clone(d.problems)}
	for i := range next.invalid {
		if o := next.invalid[i].Denial; o != nil {
			at := *o
			at.Origin.Line += lines
			next.invalid[i].Denial = &at
		}
	}
	for i := range next.problems {
		next.problems[i].Origin.Line += lines
	}
	for _, o := range d.objects {
		at := *o
		at.Origin.Line += lines
		next.objects = append(next.objects, &at)
	}
	return next
}

// assemble gives what documents amount to in the place of a former content.
func assemble(parts []part, former *content) *content {
	next := &content{}
	if len(parts) == 1 {
		next.objects = parts[0].objects
	}
	broken := false
	var unnamed []model.Key
	for _, p := range parts {
		if len(parts) > 1 {
			next.objects = append(next.objects, p.objects...)
		}
		next.invalid = append(next.invalid, p.invalid...)
		next.problems = append(next.problems, p.problems...)
		unnamed = append(unnamed, p.unnamed...)
		broken = broken || p.broken
	}
	switch {
	case broken:
		next.hold(former, nil)
	case len(next.invalid) > 0:
		only := map[model.Key]bool{}
		for _, r := range next.invalid {
			only[r.Key] = true
		}
		next.hold(former, only)
	}
	next.release(unnamed)
	next.tellHeld()
	tellDenials(next.problems, next.invalid, next.held)
	return next
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
func (c *content) hold(former *content, only map[model.Key]bool) {
	if former == nil {
		return
	}
	there := map[model.Key]bool{}
	for _, o := range c.objects {
		there[o.Key] = true
	}
	for _, o := range slices.Concat(former.objects, former.held) {
		if !there[o.Key] && (only == nil || only[o.Key]) {
			there[o.Key] = true
			c.held = append(c.held, former.asRead(o))
		}
	}
}

// asRead notes of an object when it stood in the file.
func (c *content) asRead(o *model.Object) *model.Object {
	if o.Origin.AsOf != 0 {
		return o
	}
	out := *o
	out.Origin.AsOf = c.read.Unix()
	return &out
}

func (c *content) problem(path string, reason model.Reason, message string) {
	if len(c.held) > 0 {
		message += fmt.Sprintf("; its %d former objects stay in effect", len(c.held))
	}
	c.problems = append(c.problems, model.Problem{
		Severity: model.SeverityError, Reason: reason, Message: message,
		Origin: model.Origin{File: path, Line: 1},
	})
}

// tellHeld adds to the problems what stays in effect in spite of them.
func (c *content) tellHeld() {
	if len(c.held) == 0 {
		return
	}
	held := map[model.Key]bool{}
	for _, o := range c.held {
		held[o.Key] = true
	}
	for i := range c.problems {
		p := &c.problems[i]
		switch {
		case p.Severity != model.SeverityError:
		case held[p.Object]:
			p.Message += "; its last good version stays in effect"
		case p.Object.Name == "":
			p.Message += "; what the file held before stays in effect"
		}
	}
}
