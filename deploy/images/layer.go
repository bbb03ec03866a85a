package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time of every entry and image.
var epoch = time.Unix(0, 0).UTC()

type entryKind byte

const (
	regular entryKind = tar.TypeReg
	folder  entryKind = tar.TypeDir
	link    entryKind = tar.TypeSymlink
	hard    entryKind = tar.TypeLink
)

// entry is one file of a layer.
type entry struct {
	path   string // without a leading slash
	kind   entryKind
	mode   int64
	owner  int // user and group
	target string
	data   []byte
}

func directory(path string, mode int64, owner int) entry {
	return entry{path: path, kind: folder, mode: mode, owner: owner}
}

func symlink(path, target string) entry {
	return entry{path: path, kind: link, mode: 0o777, target: target}
}

func content(path, text string) entry {
	return entry{path: path, kind: regular, mode: 0o644, data: []byte(text)}
}

// image is one tag with its layers, lowest first.
type image struct {
	tag    string
	layers [][]entry
	config v1.Config
}

// write makes one tarball of images in the OCI image layout; layers that are equal are stored
// once. Each is named by the annotation that containerd and Docker read on import.
func write(to string, images []image) error {
	dir, err := os.MkdirTemp(path.Dir(to), ".layout-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	for _, im := range images {
		built, err := build(im)
		if err != nil {
			return fmt.Errorf("%s: %w", im.tag, err)
		}
		named := layout.WithAnnotations(map[string]string{
			"io.containerd.image.name": "docker.io/" + im.tag, "org.opencontainers.image.ref.name": "docker.io/" + im.tag,
		})
		if err := store.AppendImage(built, named); err != nil {
			return fmt.Errorf("%s: %w", im.tag, err)
		}
	}
	return pack(to, dir)
}

// build makes the image; its layers are uncompressed: they are read on this machine only, and
// unpacking is what an import spends its time on.
func build(im image) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	var layers []v1.Layer
	for _, entries := range im.layers {
		var buf bytes.Buffer
		if err := writeTar(&buf, entries); err != nil {
			return nil, err
		}
		layers = append(layers, static.NewLayer(buf.Bytes(), types.OCIUncompressedLayer))
	}
	built, err := mutate.AppendLayers(base, layers...)
	if err != nil {
		return nil, err
	}
	file, err := built.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.Architecture, file.OS, file.Created, file.Config = runtime.GOARCH, "linux", v1.Time{Time: epoch}, im.config
	return mutate.ConfigFile(built, file)
}

// pack writes the files below dir as one tarball.
func pack(to, dir string) error {
	var entries []entry
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(p)
		entries = append(entries, entry{path: rel, kind: regular, mode: 0o644, data: data})
		return err
	})
	if err != nil {
		return err
	}
	part := to + ".part"
	f, err := os.Create(part)
	if err != nil {
		return err
	}
	if err := errors.Join(writeTar(f, entries), f.Close()); err != nil {
		return err
	}
	return os.Rename(part, to)
}

// writeTar writes the entries sorted by path, each folder above them once, a later entry in
// place of an earlier one of the same path.
func writeTar(w io.Writer, entries []entry) error {
	byPath := map[string]entry{}
	for _, e := range entries {
		for dir := path.Dir(e.path); dir != "."; dir = path.Dir(dir) {
			if _, ok := byPath[dir]; !ok {
				byPath[dir] = directory(dir, 0o755, 0)
			}
		}
		byPath[e.path] = e
	}
	paths := make([]string, 0, len(byPath))
	for p := range byPath {
		paths = append(paths, p)
	}
	// Hard links come last, after what they point to.
	slices.SortFunc(paths, func(a, b string) int {
		if ha, hb := byPath[a].kind == hard, byPath[b].kind == hard; ha != hb {
			if ha {
				return 1
			}
			return -1
		}
		return strings.Compare(a, b)
	})
	tw := tar.NewWriter(w)
	for _, p := range paths {
		e := byPath[p]
		h := &tar.Header{
			Typeflag: byte(e.kind), Name: e.path, Linkname: e.target, Mode: e.mode, Size: int64(len(e.data)),
			Uid: e.owner, Gid: e.owner, ModTime: epoch, Format: tar.FormatPAX,
		}
		if e.kind == folder {
			h.Name += "/"
		}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", e.path, err)
		}
		if _, err := tw.Write(e.data); err != nil {
			return fmt.Errorf("%s: %w", e.path, err)
		}
	}
	return tw.Close()
}
