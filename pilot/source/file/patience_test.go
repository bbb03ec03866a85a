package file

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// hungDisk does not answer for what has a name that contains "hung", until it is let go.
type hungDisk struct {
	machine
	mu   sync.Mutex
	gate chan struct{}
	// asked counts the questions that were not answered at once.
	asked int
}

func newHungDisk(t *testing.T) *hungDisk {
	d := &hungDisk{gate: make(chan struct{})}
	t.Cleanup(d.letGo)
	return d
}

func (d *hungDisk) letGo() {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.gate:
	default:
		close(d.gate)
	}
}

func (d *hungDisk) wait(path string) {
	if strings.Contains(filepath.Base(path), "hung") {
		d.mu.Lock()
		d.asked++
		gate := d.gate
		d.mu.Unlock()
		<-gate
	}
}

func (d *hungDisk) stat(path string) (os.FileInfo, error) {
	d.wait(path)
	return d.machine.stat(path)
}

func (d *hungDisk) lstat(path string) (os.FileInfo, error) {
	d.wait(path)
	return d.machine.lstat(path)
}

func (d *hungDisk) list(path string) ([]os.DirEntry, error) {
	d.wait(path)
	return d.machine.list(path)
}

func (d *hungDisk) load(path string, into []byte) ([]byte, os.FileInfo, error) {
	d.wait(path)
	return d.machine.load(path, into)
}

func impatient(d disk) Options {
	return Options{
		Quiet: 10 * time.Millisecond, Settle: 50 * time.Millisecond, Poll: 20 * time.Millisecond, Patience: 50 * time.Millisecond, disk: d,
	}
}

// degraded tells whether a file is reported as one that cannot be read.
func (r *recorder) degraded(path, text string) bool {
	for _, p := range r.problems {
		if p.Reason == model.ReasonDegraded && p.Origin.File == path && strings.Contains(p.Message, text) {
			return true
		}
	}
	return false
}

// TestFilesThatAreNotRead puts what must not be read in the place of a file.
func TestFilesThatAreNotRead(t *testing.T) {
	for what, put := range map[string]func(path string) error{
		"a named pipe":      func(path string) error { return unix.Mkfifo(path, 0o644) },
		"a directory":       func(path string) error { return os.Mkdir(path, 0o755) },
		"a file of procfs":  func(path string) error { return os.Symlink("/proc/kmsg", path) },
		"a file of sysfs":   func(path string) error { return os.Symlink("/sys/kernel/uevent_seqnum", path) },
		"a device":          func(path string) error { return os.Symlink("/dev/zero", path) },
		"a named pipe, too": func(path string) error { return os.Symlink(namedPipe(t), path) },
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			path, other := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
			write(t, path, service("a", "one"))
			write(t, other, service("b", "one"))
			r := start(t, dir)
			removeFile(t, path)
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			kind, _, _ := strings.Cut(what, ",")
			r.eventually(t, "reported", func() bool { return r.degraded(path, "it is "+kind) })
			write(t, other, service("b", "two"))
			r.eventually(t, "another file", func() bool { return r.value("b") == "two" })
			removeFile(t, path)
			r.eventually(t, "removed", func() bool { return len(r.problems) == 0 })
			write(t, path, service("a", "two"))
			r.eventually(t, "a file again", func() bool { return r.value("a") == "two" && len(r.problems) == 0 })
		})
	}
}

func namedPipe(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestReadThatHangs has a file whose read does not end, at the start and later.
func TestReadThatHangs(t *testing.T) {
	dir, disk := t.TempDir(), newHungDisk(t)
	first, second, other := filepath.Join(dir, "hung-1.yaml"), filepath.Join(dir, "hung-2.yaml"), filepath.Join(dir, "b.yaml")
	write(t, first, service("a", "one"))
	write(t, other, service("b", "one"))
	r := startWith(t, impatient(disk), dir)
	if r.value("b") != "one" || !r.degraded(first, "does not answer") {
		t.Fatalf("at the start: %v, %v", r.objects, r.problems)
	}
	write(t, second, service("c", "one"))
	r.eventually(t, "reported", func() bool { return r.degraded(second, "does not answer") })
	for i := range 3 {
		write(t, other, service("b", fmt.Sprint("v", i)))
		r.eventually(t, "another file", func() bool { return r.value("b") == fmt.Sprint("v", i) })
	}
	removeFile(t, first)
	r.eventually(t, "removed", func() bool { return !r.degraded(first, "") })
	disk.letGo()
	r.eventually(t, "read at last", func() bool { return r.value("c") == "one" && len(r.problems) == 0 })
	if r.value("a") != "" {
		t.Error("a file that was removed while it was read is in effect")
	}
}

// TestManyReadsThatHang has more files that hang than may hang at the same time.
func TestManyReadsThatHang(t *testing.T) {
	dir, disk := t.TempDir(), newHungDisk(t)
	for i := range maxStuck + 40 {
		write(t, filepath.Join(dir, fmt.Sprintf("hung-%03d.yaml", i)), service(fmt.Sprint("s-", i), "one"))
	}
	write(t, filepath.Join(dir, "a.yaml"), service("a", "one"))
	r := startWith(t, impatient(disk), dir)
	if r.value("a") != "one" || len(r.problems) != maxStuck+40 || !r.hasProblem("others hang already") {
		t.Fatalf("%v, %d problems", r.objects, len(r.problems))
	}
	disk.mu.Lock()
	if disk.asked > maxStuck {
		t.Errorf("%d hang at the same time", disk.asked)
	}
	disk.mu.Unlock()
	disk.letGo()
	r.eventually(t, "read at last", func() bool { return len(r.objects) == maxStuck+41 && len(r.problems) == 0 })
}

// TestDirectoryThatHangs has a directory that stops to answer beside one that does not.
func TestDirectoryThatHangs(t *testing.T) {
	root, dir, disk := t.TempDir(), t.TempDir(), newHungDisk(t)
	real, hung := filepath.Join(root, "real"), filepath.Join(root, "hung")
	if err := os.Mkdir(real, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(real, "a.yaml"), service("a", "one"))
	if err := os.Symlink(real, hung); err != nil {
		t.Fatal(err)
	}
	gate := disk.gate
	disk.letGo()
	r := startWith(t, impatient(disk), hung, dir)
	disk.mu.Lock()
	disk.gate = make(chan struct{})
	disk.mu.Unlock()
	<-gate
	r.eventually(t, "reported", func() bool { return r.degraded(hung, "does not answer") })
	write(t, filepath.Join(dir, "b.yaml"), service("b", "one"))
	write(t, filepath.Join(real, "a.yaml"), service("a", "two"))
	r.eventually(t, "the other directory", func() bool { return r.value("b") == "one" })
	if r.value("a") != "one" {
		t.Errorf("what it held: %q", r.value("a"))
	}
	disk.letGo()
	r.eventually(t, "back", func() bool { return r.value("a") == "two" && len(r.problems) == 0 })
}

// TestLoadReadsRegularFilesOnly reads what `pilotctl up` may find in a directory.
func TestLoadReadsRegularFilesOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	write(t, path, "text")
	if data, err := Load(path); err != nil || string(data) != "text" {
		t.Errorf("%q, %v", data, err)
	}
	for _, other := range []string{namedPipe(t), "/proc/kmsg", "/dev/zero", t.TempDir()} {
		if data, err := Load(other); err == nil {
			t.Errorf("%s gave %q", other, data)
		}
	}
}
