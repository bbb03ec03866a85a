// Package state is the directory of a running mesh. It says who owns the mesh, and what was made for it,
// so that everything can be taken back after a kill -9. It has the objects that the control plane reads
// from it as a second configuration directory.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/pilothouse-mesh/pilothouse/localnode/network"
)

// Dir is the directory of one mesh, ROOT/NAME.
type Dir struct {
	Root string
	Name string
}

var validName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$`)

// NameError is a name that no mesh can have.
type NameError struct{ Name string }

// Error says what a name may be.
func (e *NameError) Error() string {
	return fmt.Sprintf("mesh name %q: must be 1 to 32 lower-case letters, digits or '-', beginning and ending with a letter or digit", e.Name)
}

// NewDir names the directory of mesh name below root. It makes nothing.
func NewDir(root, name string) (Dir, error) {
	if !validName.MatchString(name) {
		return Dir{}, &NameError{name}
	}
	return Dir{Root: root, Name: name}, nil
}

// Path joins elements below the directory.
func (d Dir) Path(elem ...string) string {
	return filepath.Join(append([]string{d.Root, d.Name}, elem...)...)
}

// Objects is the folder that the control plane reads as its second --configDir.
func (d Dir) Objects() string { return d.Path("state") }

// CA is the folder of the control plane's root.
func (d Dir) CA() string { return d.Path("ca") }

// JWKS is the file of the keys that service-account tokens are checked with.
func (d Dir) JWKS() string { return d.Path("jwks.json") }

// Memory is where a tmpfs is mounted, for tokens.
func (d Dir) Memory() string { return d.Path("memory") }

// Pods is the folder of the pods' volumes.
func (d Dir) Pods() string { return d.Path("pods") }

// Logs is the folder of the containers' logs.
func (d Dir) Logs() string { return d.Path("logs") }

// DiscoveryLog is the file of the control plane's log.
func (d Dir) DiscoveryLog() string { return d.Path("discovery.log") }

func (d Dir) lock() string   { return d.Path("lock") }
func (d Dir) record() string { return d.Path("record.json") }

// Record is what Down needs to know of a mesh besides its name.
type Record struct {
	Plan     network.Plan `json:"plan"`
	HostLink string       `json:"hostLink"`
	// MountNS is the mount namespace of containerd and its shims; NetNS the mesh's network
	// namespace. Both are links as in /proc/PID/ns.
	MountNS string `json:"mountNS,omitempty"`
	NetNS   string `json:"netNS,omitempty"`
	// Gateway is the address of the ingress gateway's Service once it is known.
	Gateway string `json:"gateway,omitempty"`
}

// WriteRecord replaces the record atomically.
func (d Dir) WriteRecord(r Record) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the mesh's record: %w", err)
	}
	return WriteFile(d.record(), b)
}

// ReadRecord reads the record; the error wraps fs.ErrNotExist where the mesh never got that far.
func (d Dir) ReadRecord() (Record, error) {
	b, err := os.ReadFile(d.record())
	if err != nil {
		return Record{}, err
	}
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return Record{}, fmt.Errorf("%s: %w", d.record(), err)
	}
	return r, nil
}

// WriteFile writes to a hidden name beside path and renames it, so that a reader sees the old
// content or the new one. Only the user who runs the mesh may read it.
func WriteFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Close()) // CreateTemp gives 0600
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

const privateMode = 0o700

// MountTmpfs mounts memory at a directory, with the flags of mount(2). containerd, whose mount namespace is made
// later, sees what is mounted below it from then on.
func MountTmpfs(path string, flags uintptr) error {
	if err := syscall.Mount("tmpfs", path, "tmpfs", flags, "mode=0700"); err != nil {
		return fmt.Errorf("mount a tmpfs at %s: %w", path, err)
	}
	if err := syscall.Mount("", path, "", syscall.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share the mounts below %s: %w", path, err)
	}
	return nil
}

// Private makes a directory, and its parents where they are missing, that nobody but the user who
// runs the mesh may list or enter. Containers get what is below by bind mounts, which need no
// path of other users. One that is there is closed to others; one of another user is an error.
func Private(path string) error {
	if err := os.MkdirAll(path, privateMode); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed by another process, which whoever uses it will find
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory", path)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d: remove it", path, st.Uid)
	}
	if info.Mode().Perm() == privateMode {
		return nil
	}
	return os.Chmod(path, privateMode)
}

// Lock is held by the process that runs a mesh, and by one that takes it down. The kernel gives
// it back when the process ends in whatever way.
type Lock struct{ file *os.File }

// ErrHeld tells that another process has the lock; PID is 0 where it did not say who it is.
type ErrHeld struct {
	Name string
	PID  int
}

// Error says which mesh is taken and by whom.
func (e ErrHeld) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("mesh %s is being started or taken down by another process; try again", e.Name)
	}
	return fmt.Sprintf("mesh %s is already run by process %d; take it down first, or choose another --name", e.Name, e.PID)
}

// Lock makes the directory where it is missing and takes its lock, without waiting. Others learn
// who has it.
func (d Dir) Lock() (*Lock, error) { return d.lockAs(strconv.Itoa(os.Getpid())) }

// LockUnnamed is Lock for a process that nobody is to ask to end.
func (d Dir) LockUnnamed() (*Lock, error) { return d.lockAs("") }

func (d Dir) lockAs(owner string) (*Lock, error) {
	if err := Private(d.Path()); err != nil {
		return nil, fmt.Errorf("make the mesh's directory: %w", err)
	}
	f, err := os.OpenFile(d.lock(), os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return d.lockAs(owner) // whoever had it has just removed the directory
	}
	if err != nil {
		return nil, fmt.Errorf("open the mesh's lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		b, _ := os.ReadFile(d.lock())
		pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrHeld{Name: d.Name, PID: pid}
		}
		return nil, fmt.Errorf("lock %s: %w", d.lock(), err)
	}
	// Whoever had the lock may have removed the directory; then this is nobody's lock any more.
	if !current(f, d.lock()) {
		_ = f.Close()
		return d.lockAs(owner)
	}
	err = errors.Join(f.Truncate(0), func() error { _, err := f.WriteAt([]byte(owner), 0); return err }())
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("write %s: %w", d.lock(), err)
	}
	return &Lock{file: f}, nil
}

// current tells whether the open file is still the one that path names.
func current(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(opened, named)
}

// Release gives the lock back.
func (l *Lock) Release() error { return l.file.Close() }

// Exclusive runs fn while no other process of this machine is in Exclusive for the same root:
// choosing an address block must not be done by two at once.
func Exclusive(root string, fn func() error) error {
	if err := os.MkdirAll(root, privateMode); err != nil {
		return fmt.Errorf("make the directory of all meshes: %w", err)
	}
	f, err := os.OpenFile(root, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("open the directory of all meshes: %w", err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", root, err)
	}
	return fn()
}

// Remove unmounts what is mounted in the directory and deletes it, and the directory of all meshes when it was the last one.
func (d Dir) Remove() error {
	err := RemoveAll(d.Path())
	for errors.Is(err, syscall.ENOTEMPTY) { // somebody wanted the lock meanwhile, and waits for it
		err = RemoveAll(d.Path())
	}
	if err != nil {
		return fmt.Errorf("remove the mesh's directory: %w", err)
	}
	_ = os.Remove(d.Root) // fails, rightly, while other meshes are there
	return nil
}
