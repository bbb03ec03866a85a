package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

const (
	// maxText is how much of one input of objects or settings is read, as of a file of the control plane.
	maxText = file.MaxFileBytes
	// maxDump is how much of a saved config_dump is read, which has all of a mesh.
	maxDump = 1 << 30
)

// readText gives the content of a file that the user names, or of standard input for "-". It may be a pipe.
func readText(stdin io.Reader, name string) ([]byte, error) {
	if name == "-" {
		return readBounded(stdin, "standard input", maxText)
	}
	return readFile(name, maxText)
}

// readDump gives a saved config_dump, as readText does.
func readDump(stdin io.Reader, name string) ([]byte, error) {
	if name == "-" {
		return readBounded(stdin, "standard input", maxDump)
	}
	return readFile(name, maxDump)
}

// readFile gives the content of a file that the user names, whatever its name.
func readFile(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, name, most)
}

// readBounded reads until the end, and refuses what is longer than some bytes.
func readBounded(r io.Reader, name string, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	var named *fs.PathError
	switch {
	case err == nil && int64(len(data)) > most:
		return nil, fmt.Errorf("%s is longer than the %d bytes that are read of one file", name, most)
	case err != nil && !errors.As(err, &named):
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, err
}

// unreadError tells of the files of directories that cannot be read, of which the others can.
type unreadError struct{ files []error }

func (e *unreadError) Error() string {
	return fmt.Sprintf("not all files can be read: %v", errors.Join(e.files...))
}

func (e *unreadError) Unwrap() []error { return e.files }

// isUnread tells whether an error leaves other files that were read.
func isUnread(err error) bool {
	var unread *unreadError
	return errors.As(err, &unread)
}

// read gives the file, or the files of a directory that the control plane would read, dir being its place, and why
// others of the directory cannot be read.
func (a *analysis) read(root string, dir int) (files []analyze.File, unread []error, err error) {
	info, err := os.Stat(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("the path %q does not exist", root)
	case err != nil:
		return nil, nil, err
	case info.IsDir():
		files, unread = a.readDir(root, dir)
	case !info.Mode().IsRegular() || isManifest(root): // what is written to a pipe has no name of its own
		data, err := readFile(root, maxText)
		if err != nil {
			return nil, nil, err
		}
		files = []analyze.File{{Name: root, Data: data, Dir: dir}}
	}
	if len(files)+len(unread) == 0 {
		return nil, nil, fmt.Errorf("%s holds no .yaml, .yml or .json file", root)
	}
	return files, unread, nil
}

// readDir reads the files of a directory as the control plane does: what is no regular file is none of them.
func (a *analysis) readDir(root string, dir int) (files []analyze.File, unread []error) {
	top := root + string(filepath.Separator)                                      // what a link leads to
	_ = filepath.WalkDir(top, func(name string, e fs.DirEntry, err error) error { // which has no error of its own
		hidden := name != top && strings.HasPrefix(e.Name(), ".")
		switch {
		case err != nil:
			unread = append(unread, err)
			return nil
		case e.IsDir() && name != top && (hidden || !a.recursive):
			return fs.SkipDir
		case e.IsDir() || hidden || !isManifest(name):
			return nil
		}
		name = filepath.Clean(name)
		data, err := file.Load(name)
		if err != nil {
			var named *fs.PathError
			if !errors.As(err, &named) {
				err = fmt.Errorf("%s: %w", name, err)
			}
			unread = append(unread, err)
			return nil
		}
		files = append(files, analyze.File{Name: name, Data: data, Dir: dir})
		return nil
	})
	return files, unread
}

// isManifest tells whether a file of a directory is read by its name.
func isManifest(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}
