package file

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// dataLink is the name of the link that a kubelet swaps when a mounted ConfigMap changes.
const dataLink = "..data"

// tree is what is known of the directories and of what they hold. It reads when it is told to, and
// has no clock of its own but for its patience.
type tree struct {
	dirs  []*directory
	index index
	disk  disk
	*patience
	readers   []*reader // one for each file that is read at the same time
	newReader func() *reader
	// departed are files that were removed a moment ago. Most are written again at once, and what
	// is then broken in them stays what it was.
	departed []*file
	// watch has a directory followed from then on, in the place of the one that it was before. It may
	// take for ever; nil for nothing.
	watch func(*directory) error
}

// directory is what is known of one directory.
type directory struct {
	order int // among the directories
	path  string
	info  os.FileInfo // when it was last read, nil for never
	files map[string]*file
	// seen holds the files that looked changed although nobody told, as they were seen.
	seen map[string]os.FileInfo
	// lost is why it cannot be read now; what it held stays.
	lost error
	// hangs tells that the disk has not answered yet.
	hangs bool
	emptiness
}

func newTree(dirs []string, opts Options, newReader func() *reader) *tree {
	t := &tree{index: newIndex(opts.Settle), disk: opts.disk, patience: newPatience(opts.Patience), newReader: newReader}
	for i, dir := range dirs {
		t.dirs = append(t.dirs, &directory{
			order: i, path: filepath.Clean(dir), files: map[string]*file{}, seen: map[string]os.FileInfo{},
			emptiness: emptiness{always: opts.AllowEmpty},
		})
	}
	for range runtime.GOMAXPROCS(0) {
		t.readers = append(t.readers, newReader())
	}
	return t
}

// file gives what is known of a file, or a new one of which nothing is.
func (d *directory) file(name string) *file {
	if f := d.files[name]; f != nil {
		return f
	}
	return &file{dir: d.order, name: name, path: filepath.Join(d.path, name)}
}

// lose notes that a directory cannot be read.
func (t *tree) lose(d *directory, err error) {
	d.lost = err
	t.index.complain(d.path, []model.Problem{{
		Severity: model.SeverityError, Reason: model.ReasonDegraded,
		Message: "the directory cannot be read: " + reason(err) + "; what it held before stays in effect",
		Origin:  model.Origin{File: d.path, Line: 1},
	}})
}

// glance is what the disk says of a directory.
type glance struct {
	info os.FileInfo
	// fresh tells that it is another one than before, or that it was lost.
	fresh   bool
	listed  bool
	entries []os.DirEntry
	err     error
}

// see asks the disk for a directory: for its entries if asked to, or if it changes without telling,
// or is fresh.
func (t *tree) see(d *directory, list bool) glance {
	was := *d
	return attempt(t.patience, t.readers[:1], t.newReader, []*directory{d}, operation[*directory, glance]{
		load:   func(r *reader, _ *directory) { r.see = t.glance(&was, list) },
		result: func(r *reader, _ *directory) glance { return r.see },
		failed: func(d *directory, err error) glance {
			d.hangs = true
			return glance{err: err}
		},
		late: func(d *directory, g glance, now time.Time) {
			d.hangs = false
			t.scan(d, now)
		},
	})[0]
}

func (t *tree) glance(d *directory, list bool) glance {
	info, err := t.disk.stat(d.path)
	if err != nil {
		return glance{err: err}
	}
	g := glance{info: info, fresh: d.lost != nil || d.info == nil || !os.SameFile(d.info, info)}
	if g.fresh && t.watch != nil {
		if g.err = t.watch(d); g.err != nil {
			return g
		}
	}
	if g.listed = g.fresh || list || remote(d.path); g.listed {
		g.entries, g.err = t.disk.list(d.path)
	}
	return g
}

// list takes a directory's entries and gives those that are ours; what is there no more is removed.
func (t *tree) list(d *directory, g glance, now time.Time) []os.DirEntry {
	if d.lost != nil {
		t.index.complain(d.path, nil)
	}
	d.info, d.lost = g.info, nil
	d.allowed = slices.ContainsFunc(g.entries, func(e os.DirEntry) bool { return e.Name() == AllowEmptyFile })
	entries := slices.DeleteFunc(g.entries, func(e os.DirEntry) bool { return !named(e.Name()) })
	for name, f := range d.files {
		if _, there := slices.BinarySearchFunc(entries, name, compareEntry); !there {
			t.remove(f, now)
		}
	}
	return entries
}

func compareEntry(e os.DirEntry, name string) int {
	if e.Name() < name {
		return -1
	} else if e.Name() > name {
		return 1
	}
	return 0
}

// scan reads a whole directory. Like kubectl's -f, it does not descend.
func (t *tree) scan(d *directory, now time.Time) {
	if g := t.see(d, true); g.err != nil {
		t.lose(d, g.err)
	} else {
		t.readAll(d, g, now)
	}
}

func (t *tree) readAll(d *directory, g glance, now time.Time) {
	var files []*file
	for _, e := range t.list(d, g, now) {
		f := d.file(e.Name())
		f.linked = e.Type()&os.ModeSymlink != 0
		files = append(files, f)
	}
	t.read(files, now)
}

// look reads the files that changed although nobody told and then rested between two looks: all of
// them, or only those behind links. It tells whether some have to be looked at again.
func (t *tree) look(d *directory, all bool, now time.Time) (restless bool) {
	if d.hangs {
		return false
	}
	g := t.see(d, all)
	switch {
	case g.err != nil:
		t.lose(d, g.err)
		return false
	case g.fresh:
		t.readAll(d, g, now)
		return false
	}
	var files []*file
	if g.listed {
		for _, e := range t.list(d, g, now) {
			f := d.file(e.Name())
			f.linked = e.Type()&os.ModeSymlink != 0
			files = append(files, f)
		}
	} else {
		for name, f := range d.files {
			if f.linked || d.seen[name] != nil {
				files = append(files, f)
			}
		}
	}
	files = slices.DeleteFunc(files, func(f *file) bool { return f.hangs })
	return t.lookAt(d, files, now)
}

func (t *tree) lookAt(d *directory, files []*file, now time.Time) (restless bool) {
	var changed []*file
	for i, s := range t.status(files, t.disk.stat) {
		f := files[i]
		switch {
		case errors.Is(s.err, os.ErrNotExist):
			t.remove(f, now)
		case s.err == nil && sameFile(f.info, s.info):
			delete(d.seen, f.name)
		case s.err == nil && !sameFile(d.seen[f.name], s.info):
			d.seen[f.name], restless = s.info, true
		case t.tooSlow(f, s.err, now):
		default:
			delete(d.seen, f.name)
			changed = append(changed, f)
		}
	}
	t.read(changed, now)
	return restless
}

// status is what the disk says of a file without reading it.
type status struct {
	info os.FileInfo
	err  error
}

func (t *tree) status(files []*file, ask func(string) (os.FileInfo, error)) []status {
	if len(files) == 0 {
		return nil
	}
	return attempt(t.patience, t.readers, t.newReader, files, operation[*file, status]{
		load:   func(r *reader, f *file) { r.info, r.err = ask(f.path) },
		result: func(r *reader, _ *file) status { return status{r.info, r.err} },
		failed: func(f *file, err error) status { return status{err: err} },
		late: func(f *file, _ status, now time.Time) {
			if f.hangs {
				t.read([]*file{f}, now)
			}
		},
	})
}

// tooSlow notes a file of which the disk says nothing, and tells whether it is one.
func (t *tree) tooSlow(f *file, err error, now time.Time) bool {
	var hang *hangsError
	if !errors.As(err, &hang) {
		return false
	}
	f.hangs = true
	t.put(f, f.unread(nil, err), now)
	return true
}

func sameFile(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// follow brings the files of which something was told up to date.
func (t *tree) follow(told map[place]happening, now time.Time) {
	files, begun := make([]*file, 0, len(told)), []*file(nil)
	for at, what := range told {
		d := t.dirs[at.dir]
		f := d.file(at.name)
		switch {
		case what == removed:
			t.remove(f, now)
		case d.hangs: // it is read as a whole later
		case what == created:
			begun = append(begun, f)
		default:
			files = append(files, f)
		}
	}
	for i, s := range t.status(begun, t.disk.lstat) {
		f := begun[i]
		if t.tooSlow(f, s.err, now) || s.err != nil || s.info.Mode().IsRegular() && links(s.info) < 2 {
			continue // its writer will be done some time
		}
		f.linked = s.info.Mode()&os.ModeSymlink != 0
		files = append(files, f)
	}
	slices.SortFunc(files, compareFiles) // so that what follows does not depend on a map's order
	t.read(files, now)
}

// links gives how many names a file has.
func links(info os.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Nlink)
	}
	return 1
}

// request is a file that is to be read, as it was when the disk was asked for it.
type request struct {
	file *file
	was  file
}

// read reads files, several at the same time, and takes what they hold in their order.
func (t *tree) read(files []*file, now time.Time) {
	requests := make([]request, len(files))
	for i, f := range files {
		f.asked++
		f.hangs = false
		requests[i] = request{f, *f}
	}
	readings := attempt(t.patience, t.readers, t.newReader, requests, operation[request, reading]{
		load:   func(r *reader, q request) { r.load(&q.was) },
		result: func(r *reader, q request) reading { return r.read(&q.was) },
		failed: func(q request, err error) reading {
			q.file.hangs = !errors.Is(err, errCrowded)
			return q.file.unread(nil, err)
		},
		late: func(q request, r reading, now time.Time) {
			if q.file.asked == q.was.asked {
				q.file.hangs = false
				t.put(q.file, r, now)
			}
		},
	})
	for i, f := range files {
		t.put(f, readings[i], now)
	}
}

// put takes what a file holds now.
func (t *tree) put(f *file, r reading, now time.Time) {
	if r.content == nil {
		t.remove(f, now)
		return
	}
	former := f.content
	if !f.left.IsZero() {
		former, f.left = nil, time.Time{}
		t.departed = slices.DeleteFunc(t.departed, func(other *file) bool { return other == f })
	}
	t.dirs[f.dir].files[f.name] = f
	f.info, f.parts, f.content = r.info, r.parts, r.content
	t.index.replace(f, former, r.content)
}

func (t *tree) remove(f *file, now time.Time) {
	delete(t.dirs[f.dir].seen, f.name)
	f.hangs = false
	f.asked++ // what a read that hangs finds is of a file that is gone
	if f.content == nil || !f.left.IsZero() {
		return
	}
	f.left, f.info = now, nil
	t.departed = append(t.departed, f)
	t.index.replace(f, f.content, nil)
}

// take gives what changed for those who follow the mesh, and forgets the files that did not come
// back.
func (t *tree) take(now time.Time) []model.Event {
	t.departed = slices.DeleteFunc(t.departed, func(f *file) bool {
		gone := now.Sub(f.left) >= t.index.settle
		if gone {
			delete(t.dirs[f.dir].files, f.name)
		}
		return gone
	})
	for _, d := range t.dirs {
		d.empty = d.lost == nil && !d.holds()
	}
	return t.index.take(now, t.dirs)
}
