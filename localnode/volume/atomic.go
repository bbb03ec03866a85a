// Package volume makes a pod's volumes on the host: directories whose files come from the mesh's
// directory, from the pod itself, or from signed tokens, and which change all at once.
package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// File is one file of a volume. GID owns it where it is not 0, the rest is owned by UID.
type File struct {
	Content []byte
	Mode    fs.FileMode
	UID     int // owner; 0 is root
	GID     int // group; 0 is root
}

// Names of the atomic writer's links, as kubelets make them and as programs that watch for new
// content expect them.
const (
	dataLink    = "..data"
	dataNewLink = "..data_new"
)

// Write makes dir show exactly the files, by paths relative to it. Readers that follow ..data see
// all of the old content or all of the new; nothing is touched where nothing changed. Whatever
// else is in dir, nothing outside of it is written or removed.
func Write(dir string, files map[string]File) error {
	for path := range files {
		if !IsBeneath(path) || strings.HasPrefix(path, "..") {
			return fmt.Errorf("volume file %q: the path must stay inside of the volume and not begin with '..'", path)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("write volume: %w", err)
	}
	defer root.Close()
	if same(root, files) {
		return nil
	}
	if err := replace(root, files); err != nil {
		return fmt.Errorf("write volume: %w", err)
	}
	return nil
}

func replace(root *os.Root, files map[string]File) error {
	stamp := fmt.Sprintf("..%016x", rand.Uint64())
	if err := writeAll(root, stamp, files); err != nil {
		return errors.Join(err, root.RemoveAll(stamp))
	}
	old, _ := root.Readlink(dataLink)
	if err := root.RemoveAll(dataNewLink); err != nil { // of a writer that was killed
		return err
	}
	if err := root.Symlink(stamp, dataNewLink); err != nil {
		return err
	}
	if err := root.Rename(dataNewLink, dataLink); err != nil {
		return err
	}
	if err := linkTop(root, files); err != nil {
		return err
	}
	if old != stamp && strings.HasPrefix(old, "..") && filepath.Base(old) == old {
		return root.RemoveAll(old)
	}
	return nil
}

// writeAll writes the files below a new directory. Any user of a container may look into it.
func writeAll(root *os.Root, stamp string, files map[string]File) error {
	made := map[string]bool{}
	for path := range files {
		for d := filepath.Dir(filepath.Join(stamp, path)); d != "." && !made[d]; d = filepath.Dir(d) {
			made[d] = true
		}
	}
	made[stamp] = true
	for _, d := range slices.Sorted(maps.Keys(made)) { // parents come first
		if err := errors.Join(root.Mkdir(d, 0o755), root.Chmod(d, 0o755)); err != nil {
			return err
		}
	}
	for path, f := range files {
		full := filepath.Join(stamp, path)
		if err := root.WriteFile(full, f.Content, 0o600); err != nil {
			return err
		}
		if err := errors.Join(root.Chown(full, f.UID, f.GID), root.Chmod(full, f.Mode)); err != nil {
			return err
		}
	}
	return nil
}

// linkTop makes one link into ..data for each first path element, and removes those of files
// that are gone.
func linkTop(root *os.Root, files map[string]File) error {
	want := map[string]bool{}
	for path := range files {
		top, _, _ := strings.Cut(path, string(filepath.Separator))
		want[top] = true
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), ".."):
		case want[e.Name()]:
			delete(want, e.Name())
		default:
			if err := root.RemoveAll(e.Name()); err != nil {
				return err
			}
		}
	}
	for top := range want {
		if err := root.Symlink(filepath.Join(dataLink, top), top); err != nil {
			return err
		}
	}
	return nil
}

// same tells whether the volume shows exactly the files already.
func same(root *os.Root, files map[string]File) bool {
	target, err := root.Readlink(dataLink)
	if err != nil {
		return false
	}
	n := 0
	err = fs.WalkDir(root.FS(), filepath.ToSlash(target), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(target, path)
		if err != nil {
			return err
		}
		f, ok := files[rel]
		if !ok {
			return fs.ErrNotExist
		}
		n++
		content, err := root.ReadFile(path)
		if err == nil && !bytes.Equal(content, f.Content) {
			return fs.ErrInvalid
		}
		return err
	})
	return err == nil && n == len(files)
}
