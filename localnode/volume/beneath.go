package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

// What is in a volume may have been put there by a container, and may change at any moment. So a
// path in it is never looked up as a path: each step is opened from the directory before it, by a
// system call that does not leave it, and what was opened is used by its file descriptor.

// links says whether links that stay inside of the volume are followed.
type links bool

const (
	noLinks     links = false
	insideLinks links = true // for volumes that only we write
)

// beneath opens a path below the directory. The path must be local: relative and without "..".
func beneath(dir *os.File, path string, l links) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	}
	if l == noLinks { // not O_NOFOLLOW, which would open a last link itself
		how.Resolve |= unix.RESOLVE_NO_SYMLINKS
	}
	fd, err := unix.Openat2(int(dir.Fd()), path, &how)
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("%s is a link or leads over one, and links in a volume are not followed", path)
	case errors.Is(err, unix.EXDEV):
		return nil, fmt.Errorf("%s leads out of the volume", path)
	case err != nil:
		return nil, &os.PathError{Op: "openat2", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), filepath.Join(dir.Name(), path)), nil
}

// makeBeneath opens a directory below another one, and makes what is missing of the path with the
// mode and group of the directory above it.
func makeBeneath(dir *os.File, path string) (*os.File, error) {
	info, err := dir.Stat()
	if err != nil {
		return nil, err
	}
	above := dir
	for name := range strings.SplitSeq(path, string(filepath.Separator)) {
		next, err := beneath(above, name, noLinks)
		if errors.Is(err, fs.ErrNotExist) {
			next, err = makeOne(above, name, info)
		}
		if above != dir {
			err = errors.Join(err, above.Close())
		}
		if err != nil {
			return nil, err
		}
		above = next
	}
	return above, nil
}

// makeOne makes a directory in another one. One that somebody else made meanwhile is taken as it is.
func makeOne(above *os.File, name string, like fs.FileInfo) (*os.File, error) {
	const closed = 0o700 // until it has its group
	err := unix.Mkdirat(int(above.Fd()), name, closed)
	if errors.Is(err, unix.EEXIST) {
		return beneath(above, name, noLinks)
	}
	if err != nil {
		return nil, &os.PathError{Op: "mkdirat", Path: name, Err: err}
	}
	made, err := beneath(above, name, noLinks)
	if err != nil {
		return nil, err
	}
	gid := -1
	if st, ok := like.Sys().(*syscall.Stat_t); ok {
		gid = int(st.Gid)
	}
	mode := like.Mode() & (fs.ModePerm | fs.ModeSetgid)
	if err := errors.Join(os.Chown(fdPath(made), -1, gid), os.Chmod(fdPath(made), mode)); err != nil {
		return nil, errors.Join(err, made.Close())
	}
	return made, nil
}

// fdPath names an open file, whatever has become of its path.
func fdPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// bind mounts an open file or directory at target, which is made as the same kind. What was
// mounted there before is taken away.
func bind(f *os.File, target string) error {
	if err := state.Unmount(target); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(target), state.Private(filepath.Dir(target))); err != nil {
		return err
	}
	if info.IsDir() {
		err = os.Mkdir(target, 0o700)
	} else {
		err = os.WriteFile(target, nil, 0o600)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(fdPath(f), target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return &os.PathError{Op: "bind", Path: target, Err: err}
	}
	return nil
}
