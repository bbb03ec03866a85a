package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Trim keeps a log that a process appends to within max bytes: what is in it goes to PATH.1, the
// last max bytes of it, and the file begins anew. A line that is written meanwhile may be lost.
func Trim(path string, max int64) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() <= max {
		return err
	}
	old, err := os.OpenFile(path+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(old, io.NewSectionReader(f, info.Size()-max, max))
	if err := errors.Join(err, old.Close(), os.Truncate(path, 0)); err != nil {
		return fmt.Errorf("trim %s: %w", path, err)
	}
	return nil
}
