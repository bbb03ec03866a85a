package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// RemoveAll deletes a directory with all that is in it, after what is mounted there was unmounted.
// It deletes nothing while something stays mounted: that would be somebody else's files.
func RemoveAll(path string) error {
	if err := unmountBelow(path); err != nil {
		return err
	}
	if left, err := mountsBelow(path); err != nil || len(left) > 0 {
		return errors.Join(err, fmt.Errorf("%s is kept, for something is still mounted in it: %v", path, left))
	}
	return os.RemoveAll(path)
}

func unmountBelow(path string) error {
	mounts, err := mountsBelow(path)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range slices.Backward(mounts) { // innermost first
		if err := Unmount(m); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Unmount takes away the mount at path, at once for new users of the path, and for those who still
// have files open there when they are done. One that is not mounted is none to take away.
func Unmount(path string) error {
	err := syscall.Unmount(path, syscall.MNT_DETACH|umountNoFollow)
	if err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}

const umountNoFollow = 8 // UMOUNT_NOFOLLOW of umount2(2)

// mountsBelow gives what is mounted at the path or below it in our mount namespace, in the order
// in which it was mounted.
func mountsBelow(path string) ([]string, error) {
	// The kernel lists mounts by their true paths.
	path, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	var found []string
	for line := range strings.Lines(string(b)) {
		const mountPoint = 4 // proc(5)
		fields := strings.Fields(line)
		if len(fields) <= mountPoint {
			continue
		}
		if m := unescape(fields[mountPoint]); m == path || strings.HasPrefix(m, path+"/") {
			found = append(found, m)
		}
	}
	return found, nil
}

// unescape replaces the kernel's \OOO, octal, by the bytes that it stands for: space, tab, newline
// and backslash.
func unescape(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i+4 > len(s) {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
			b.WriteByte(byte(n))
		}
		s = s[i+4:]
	}
}
