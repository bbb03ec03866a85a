package localnode

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

// objectFiles writes the objects that the control plane reads, one file each.
type objectFiles struct {
	dir     string
	mu      sync.Mutex
	content map[string][]byte // by file name, as last written
}

func newObjectFiles(dir string) *objectFiles {
	return &objectFiles{dir: dir, content: map[string][]byte{}}
}

// separator joins the parts of a file's name. No kind, namespace or name has it, and fileName lets
// none through that does, so that two objects never share a file.
const separator = "_"

func fileName(kind, namespace, name string) string {
	const maxName = 200 // of the 255 bytes that a file's name may have
	file := strings.Join([]string{strings.ToLower(kind), escape(namespace), escape(name)}, separator)
	if len(file) > maxName {
		file = fmt.Sprintf("%s%s%x", file[:maxName/2], separator, sha256.Sum256([]byte(file)))
	}
	return file + ".yaml"
}

// escape leaves valid names as they are, and writes what could not be part of one as %XX.
func escape(name string) string {
	return strings.ReplaceAll(url.PathEscape(name), separator, "%5F")
}

// put writes one or more objects into the file, unless it holds them already.
func (f *objectFiles) put(file string, objects ...any) error {
	var b bytes.Buffer
	for _, o := range objects {
		doc, err := yaml.Marshal(o)
		if err != nil {
			return fmt.Errorf("encode %s: %w", file, err)
		}
		b.WriteString("---\n")
		b.Write(doc)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if bytes.Equal(f.content[file], b.Bytes()) {
		return nil
	}
	if err := state.WriteFile(filepath.Join(f.dir, file), b.Bytes()); err != nil {
		return err
	}
	f.content[file] = b.Bytes()
	return nil
}

// remove deletes a file that may be there.
func (f *objectFiles) remove(file string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.content, file)
	if err := os.Remove(filepath.Join(f.dir, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove an object: %w", err)
	}
	return nil
}

// readPods gives the pods in a state directory.
func readPods(dir string) ([]*corev1.Pod, error) {
	files, err := filepath.Glob(filepath.Join(dir, "pod"+separator+"*.yaml"))
	if err != nil {
		return nil, err
	}
	var pods []*corev1.Pod
	for _, file := range files {
		b, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went while we looked
		}
		if err != nil {
			return nil, fmt.Errorf("read the mesh's pods: %w", err)
		}
		p := &corev1.Pod{}
		if err := yaml.Unmarshal(b, p); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		pods = append(pods, p)
	}
	return pods, nil
}
