package file

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// dataLink is the name of the link that a kubelet swaps when a mounted ConfigMap changes.
const dataLink = "..data"

// tree is what is known of the directories and of what they hold. It reads when it is told to, and
// has no clock of its own.
type tree struct {
	dirs    []*directory
	index   index
	readers []*reader // one for each file that is read at the same time
	// departed are files that were removed a moment ago. Most are written again at once, and what
	// is then broken in them stays what it was.
	departed []*file
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
}

func newTree(dirs []string, settle time.Duration, newReader func() *reader) *tree {
	t := &tree{index: newIndex(settle)}
	for i, dir := range dirs {
		t.dirs = append(t.dirs, &directory{
			order: i, path: filepath.Clean(dir), files: map[string]*file{}, seen: map[string]os.FileInfo{},
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

// list gives a directory's entries that are ours; what is there no more is removed.
func (t *tree) list(d *directory, now time.Time) []os.DirEntry {
	info, err := os.Stat(d.path)
	var entries []os.DirEntry
	if err == nil {
		entries, err = os.ReadDir(d.path)
	}
	if err != nil {
		t.lose(d, err)
		return nil
	}
	if d.lost != nil {
		t.index.complain(d.path, nil)
	}
	d.info, d.lost = info, nil
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return !named(e.Name()) })
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
	var files []*file
	for _, e := range t.list(d, now) {
		f := d.file(e.Name())
		f.linked = e.Type()&os.ModeSymlink != 0
		files = append(files, f)
	}
	t.read(files, now)
}

// look reads the files that changed although nobody told and then rested between two looks: all of
// them, or only those behind links. It tells whether some have to be looked at again.
func (t *tree) look(d *directory, all bool, now time.Time) (restless bool) {
	var files []*file
	visit := func(f *file) {
		info, err := os.Stat(f.path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			t.remove(f, now)
		case err == nil && (!info.Mode().IsRegular() || sameFile(f.info, info)):
			delete(d.seen, f.name)
		case err == nil && !sameFile(d.seen[f.name], info):
			d.seen[f.name], restless = info, true
		default:
			delete(d.seen, f.name)
			files = append(files, f)
		}
	}
	if all {
		for _, e := range t.list(d, now) {
			f := d.file(e.Name())
			f.linked = e.Type()&os.ModeSymlink != 0
			visit(f)
		}
	} else {
		for name, f := range d.files {
			if f.linked || d.seen[name] != nil {
				visit(f)
			}
		}
	}
	t.read(files, now)
	return restless
}

func sameFile(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// follow brings the files of which something was told up to date.
func (t *tree) follow(told map[place]happening, now time.Time) {
	files := make([]*file, 0, len(told))
	for at, what := range told {
		d := t.dirs[at.dir]
		f := d.file(at.name)
		switch what {
		case removed:
			t.remove(f, now)
			continue
		case created:
			info, err := os.Lstat(f.path)
			if err != nil || info.Mode().IsRegular() && links(info) < 2 {
				continue // its writer will be done some time
			}
			f.linked = info.Mode()&os.ModeSymlink != 0
		}
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

// read reads files, several at the same time, and takes what they hold in their order.
func (t *tree) read(files []*file, now time.Time) {
	if len(files) == 1 {
		t.put(files[0], t.readers[0].read(files[0]), now)
		return
	}
	readings := make([]reading, len(files))
	var next atomic.Int64
	var busy sync.WaitGroup
	for _, r := range t.readers[:min(len(t.readers), len(files))] {
		busy.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(files); i = int(next.Add(1)) - 1 {
				readings[i] = r.read(files[i])
			}
		})
	}
	busy.Wait()
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
	return t.index.take(now)
}
