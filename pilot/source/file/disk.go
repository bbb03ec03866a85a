package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// disk is what the source asks of file systems. Each call may take for ever.
type disk interface {
	stat(path string) (os.FileInfo, error)
	lstat(path string) (os.FileInfo, error)
	list(dir string) ([]os.DirEntry, error)
	// load gives a regular file's bytes, in the place of those of into, up to the first beyond
	// MaxFileBytes. It refuses what is no regular file, without opening it.
	load(path string, into []byte) ([]byte, os.FileInfo, error)
}

// refusedError tells of a file that is not read.
type refusedError struct{ what string }

func (e *refusedError) Error() string { return "it is " + e.what + "; put a regular file in its place" }

// machine is this machine's disk.
type machine struct{}

func (machine) stat(path string) (os.FileInfo, error)  { return os.Stat(path) }
func (machine) lstat(path string) (os.FileInfo, error) { return os.Lstat(path) }
func (machine) list(dir string) ([]os.DirEntry, error) { return os.ReadDir(dir) }

func (machine) load(path string, into []byte) ([]byte, os.FileInfo, error) {
	into = into[:0]
	info, err := os.Stat(path) // opening some devices does something
	if err == nil {
		err = refuse(info, func(fs *unix.Statfs_t) error { return unix.Statfs(path, fs) })
	}
	if err != nil {
		return into, info, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe is not waited for
	if err != nil {
		return into, info, err
	}
	defer f.Close()
	if info, err = f.Stat(); err == nil { // another one may stand there by now
		err = refuse(info, func(fs *unix.Statfs_t) error { return unix.Fstatfs(int(f.Fd()), fs) })
	}
	if err != nil {
		return into, info, err
	}
	into = slices.Grow(into, int(min(info.Size(), MaxFileBytes))+bytes.MinRead)
	for len(into) <= MaxFileBytes {
		n, err := f.Read(into[len(into):cap(into)])
		into = into[:len(into)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return into, info, err
		}
		into = slices.Grow(into, bytes.MinRead)
	}
	return into, info, nil
}

// Load reads a file as a source does: only a regular one, and not for longer than the disk usually takes.
func Load(path string) ([]byte, error) {
	type loaded struct {
		data []byte
		err  error
	}
	result := make(chan loaded, 1)
	go func() {
		data, _, err := machine{}.load(path, nil)
		result <- loaded{data, err}
	}()
	deadline := time.NewTimer(usualPatience)
	defer deadline.Stop()
	select {
	case r := <-result:
		return r.data, r.err
	case <-deadline.C:
		return nil, &hangsError{usualPatience}
	}
}

// refuse gives why a file is not to be read: a read may wait for an event, take it away from others,
// or make a new text each time.
func refuse(info os.FileInfo, statfs func(*unix.Statfs_t) error) error {
	if !info.Mode().IsRegular() {
		return &refusedError{kindOf(info.Mode())}
	}
	var at unix.Statfs_t
	if err := statfs(&at); err != nil {
		return fmt.Errorf("its file system does not tell its type: %w", err)
	}
	if name := kernelFileSystem(int64(at.Type)); name != "" {
		return &refusedError{"a file of " + name + ", which the kernel makes as it is read"}
	}
	return nil
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "no regular file"
}

// kernelFileSystem gives the name of a file system whose files have no content of their own (as
// statfs(2) and linux/magic.h number them), "" for all others.
func kernelFileSystem(magic int64) string {
	switch magic {
	case unix.PROC_SUPER_MAGIC:
		return "procfs"
	case unix.SYSFS_MAGIC:
		return "sysfs"
	case unix.DEBUGFS_MAGIC:
		return "debugfs"
	case unix.TRACEFS_MAGIC:
		return "tracefs"
	case unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC:
		return "cgroupfs"
	case unix.SECURITYFS_MAGIC:
		return "securityfs"
	case unix.SELINUX_MAGIC:
		return "selinuxfs"
	case unix.BPF_FS_MAGIC:
		return "bpffs"
	case unix.NSFS_MAGIC:
		return "nsfs"
	case unix.PSTOREFS_MAGIC:
		return "pstore"
	case unix.EFIVARFS_MAGIC:
		return "efivarfs"
	}
	return ""
}
