// Package volume makes a pod's volumes on the host: directories whose files come from the mesh's
// directory, from the pod itself, or from signed tokens, and which change all at once.
package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
// all of the old content or all of the new; nothing is touched where nothing changed.
func Write(dir string, files map[string]File) error {
	for path := range files {
		if !filepath.IsLocal(path) || strings.HasPrefix(path, "..") {
			return fmt.Errorf("volume file %q: the path must stay inside of the volume and not begin with '..'", path)
		}
	}
	if same(dir, files) {
		return nil
	}
	stamp, err := os.MkdirTemp(dir, "..")
	if err != nil {
		return fmt.Errorf("write volume: %w", err)
	}
	if err := writeAll(stamp, files); err != nil {
		return errors.Join(err, os.RemoveAll(stamp))
	}
	old, _ := os.Readlink(filepath.Join(dir, dataLink))
	newLink := filepath.Join(dir, dataNewLink)
	if err := os.Symlink(filepath.Base(stamp), newLink); err != nil {
		return fmt.Errorf("write volume: %w", err)
	}
	if err := os.Rename(newLink, filepath.Join(dir, dataLink)); err != nil {
		return fmt.Errorf("write volume: %w", err)
	}
	if err := linkTop(dir, files); err != nil {
		return err
	}
	if old != "" {
		return os.RemoveAll(filepath.Join(dir, old))
	}
	return nil
}

func writeAll(stamp string, files map[string]File) error {
	if err := os.Chmod(stamp, 0o755); err != nil {
		return fmt.Errorf("write volume: %w", err)
	}
	for path, f := range files {
		full := filepath.Join(stamp, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return fmt.Errorf("write volume: %w", err)
		}
		if err := os.WriteFile(full, f.Content, 0o600); err != nil {
			return fmt.Errorf("write volume: %w", err)
		}
		if err := errors.Join(os.Chown(full, f.UID, f.GID), os.Chmod(full, f.Mode)); err != nil {
			return fmt.Errorf("write volume: %w", err)
		}
	}
	return nil
}

// linkTop makes one link into ..data for each first path element, and removes those of files
// that are gone.
func linkTop(dir string, files map[string]File) error {
	want := map[string]bool{}
	for path := range files {
		top, _, _ := strings.Cut(path, string(filepath.Separator))
		want[top] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("write volume: %w", err)
	}
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), ".."):
		case want[e.Name()]:
			delete(want, e.Name())
		default:
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("write volume: %w", err)
			}
		}
	}
	for top := range want {
		if err := os.Symlink(filepath.Join(dataLink, top), filepath.Join(dir, top)); err != nil {
			return fmt.Errorf("write volume: %w", err)
		}
	}
	return nil
}

// same tells whether dir shows exactly the files already.
func same(dir string, files map[string]File) bool {
	data := filepath.Join(dir, dataLink)
	target, err := filepath.EvalSymlinks(data)
	if err != nil {
		return false
	}
	n := 0
	err = filepath.WalkDir(target, func(path string, d fs.DirEntry, err error) error {
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
		content, err := os.ReadFile(path)
		if err == nil && !bytes.Equal(content, f.Content) {
			return fs.ErrInvalid
		}
		return err
	})
	return err == nil && n == len(files)
}
