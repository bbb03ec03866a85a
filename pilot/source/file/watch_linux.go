package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// happening is the last thing that the kernel told of a file.
type happening int

const (
	completed happening = iota // was closed by its writer or renamed into place
	created                    // a link to something complete, or a file that is yet to be written
	removed
)

// place is a file by its directory's place in the order and its name there.
type place struct {
	dir  int
	name string
}

// changes are what happened since they were last taken.
type changes struct {
	files map[place]happening
	// dirs were moved or deleted, or what their links lead to was swapped.
	dirs map[int]bool
	// lost tells that the kernel had more to tell than it could keep.
	lost bool
}

func newChanges() *changes { return &changes{files: map[place]happening{}, dirs: map[int]bool{}} }

func (c *changes) clear() {
	clear(c.files)
	clear(c.dirs)
	c.lost = false
}

// watch follows directories by inotify, which unlike a portable watch tells when a writer has
// finished: such a file is read at once, and one that is being written is let be.
type watch struct {
	file *os.File
	fd   int
	// wake holds one token while there are changes, or when the watch has ended.
	wake chan struct{}
	done chan struct{}

	mu              sync.Mutex
	dirs            map[int32]int // watch descriptors
	gathered, spare *changes
	err             error // why the watch has ended
}

const watched = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_CREATE | unix.IN_DELETE |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

func newWatch() (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch for changes of the configuration: %w", err)
	}
	w := &watch{
		file: os.NewFile(uintptr(fd), "inotify"), fd: fd, wake: make(chan struct{}, 1), done: make(chan struct{}),
		dirs: map[int32]int{}, gathered: newChanges(), spare: newChanges(),
	}
	go w.run()
	return w, nil
}

// close ends the watch and waits for that.
func (w *watch) close() {
	w.file.Close() // ends the reading
	<-w.done
}

// add follows a directory in the place of the one that the same place had before. What happens
// until it returns may not be told.
func (w *watch) add(dir int, path string) error {
	w.remove(dir)
	wd, err := unix.InotifyAddWatch(w.fd, path, watched) // may take for ever
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.dirs[int32(wd)] = dir
	}
	return err
}

// remove ends following a directory, of which nothing more is told.
func (w *watch) remove(dir int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(dir)
}

func (w *watch) drop(dir int) {
	for wd, d := range w.dirs {
		if d == dir {
			delete(w.dirs, wd)
			_, _ = unix.InotifyRmWatch(w.fd, uint32(wd)) // an error where the kernel has dropped it already
		}
	}
}

// take gives what has happened; it is good until the next take.
func (w *watch) take() (*changes, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spare.clear()
	w.gathered, w.spare = w.spare, w.gathered
	return w.spare, w.err
}

// run reads events until the watch is closed.
func (w *watch) run() {
	defer close(w.done)
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		w.mu.Lock()
		if err != nil {
			w.err = fmt.Errorf("watching the configuration ended: %w", err)
		}
		news := w.gather(buf[:n]) || err != nil
		w.mu.Unlock()
		if news {
			select {
			case w.wake <- struct{}{}:
			default: // a token is there already
			}
		}
		if err != nil {
			return
		}
	}
}

// gather adds the kernel's events to what has happened and tells whether any concerns us.
func (w *watch) gather(events []byte) bool {
	news := false
	for len(events) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(events))
		mask := binary.NativeEndian.Uint32(events[4:])
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		name, _, _ := bytes.Cut(events[unix.SizeofInotifyEvent:size], []byte{0})
		events = events[size:]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			w.gathered.lost, news = true, true
			continue
		}
		dir, ours := w.dirs[wd]
		if !ours {
			continue
		}
		news = w.event(dir, mask, name) || news
	}
	return news
}

// event takes one event of a directory.
func (w *watch) event(dir int, mask uint32, name []byte) bool {
	if bytes.HasPrefix(name, []byte(".")) && string(name) != dataLink && string(name) != AllowEmptyFile {
		return false // mostly a file that is yet to be renamed into place, of which the kernel tells three times
	}
	text := string(name)
	switch {
	case mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_IGNORED|unix.IN_UNMOUNT) != 0:
		w.gathered.dirs[dir] = true
	case text == dataLink, text == AllowEmptyFile:
		w.gathered.dirs[dir] = true
	case !named(text):
		return false
	case mask&(unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO) != 0:
		w.gathered.files[place{dir, text}] = completed
	case mask&unix.IN_CREATE != 0:
		w.gathered.files[place{dir, text}] = created
	default:
		w.gathered.files[place{dir, text}] = removed
	}
	return true
}
