package ca

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Store keeps the files of a CA, and beside them those of its root's rotation. One goroutine uses it.
type Store interface {
	// Read gives the files by name, nil where there is no CA to be kept.
	Read(ctx context.Context) (map[string][]byte, error)
	// Write makes changes to what Read gave last, in their order: all of them or a beginning. It fails where
	// somebody else has written meanwhile, if the store can tell.
	Write(ctx context.Context, changes []Change) error
}

// Change of a file. Without data the file goes.
type Change struct {
	Name string
	Data []byte
}

// authorityFiles are those that an Authority is made of, stateFiles the others.
func authorityFiles() []string { return []string{keyFile, certFile, rootFile, chainFile, crlFile} }

func stateFiles() []string {
	return []string{nextKeyFile, untilFile, formerLongestFile, longestFile, requestFile, statusFile}
}

// WithoutState gives the files without those that only tell of a rotation, so that a CA that is the same is the same.
func WithoutState(files map[string][]byte) map[string][]byte {
	out := maps.Clone(files)
	maps.DeleteFunc(out, func(name string, _ []byte) bool { return slices.Contains(stateFiles(), name) })
	return out
}

// directory is a Store.
type directory string

// Read gives the files that are there.
func (d directory) Read(context.Context) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range append(authorityFiles(), stateFiles()...) {
		data, err := os.ReadFile(filepath.Join(string(d), name))
		switch {
		case err == nil:
			files[name] = data
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return files, nil
}

// Write writes one file after the other.
func (d directory) Write(_ context.Context, changes []Change) error {
	for _, c := range changes {
		path := filepath.Join(string(d), c.Name)
		if c.Data == nil {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		mode := os.FileMode(0o644)
		if c.Name == keyFile || c.Name == nextKeyFile {
			mode = 0o600
		}
		if err := writeFile(path, c.Data, mode); err != nil {
			return err
		}
	}
	return nil
}
