package secret

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// maxFile bounds a certificate file in bytes, maxFiles the names that clients may ask for.
	maxFile  = 4 << 20
	maxFiles = 128
	// quiet is how long a directory must rest before it is read: key and certificate are two files.
	quiet = 100 * time.Millisecond
	// rereadEvery finds what no notification told of, and files that came late.
	rereadEvery = 10 * time.Second
)

// systemRoots are where distributions keep the machine's own roots.
var systemRoots = [...]string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
}

// files serves mounted certificates, and follows their directories.
type files struct {
	log    *slog.Logger
	notify func()
	wake   chan struct{}

	mu      sync.Mutex
	entries map[string]*fileEntry
}

// fileEntry is one name that was asked for.
type fileEntry struct {
	paths  []string // a root, or a certificate and its key
	value  *Value
	failed string // the last failure, so that it is logged once
}

func newFiles(log *slog.Logger, notify func()) *files {
	return &files{log: log, notify: notify, wake: make(chan struct{}, 1), entries: map[string]*fileEntry{}}
}

// parseName reads file-cert:CERT~KEY, file-root:PATH and file-root:system. A root may be followed by ~ and the
// path of a revocation list, which Envoy reads itself: roots with a list are a secret of their own, so that a
// list that cannot be read harms nobody else.
func parseName(name string) (paths []string, err error) {
	path, ok := strings.CutPrefix(name, "file-root:")
	if path, _, _ = strings.Cut(path, "~"); ok && path != "" {
		if path != "system" {
			return []string{path}, nil
		}
		for _, p := range systemRoots {
			if _, err := os.Stat(p); err == nil {
				return []string{p}, nil
			}
		}
		return nil, fmt.Errorf("secret %q: this machine has no roots of its own", name)
	}
	if pair, ok := strings.CutPrefix(name, "file-cert:"); ok {
		if cert, key, ok := strings.Cut(pair, "~"); ok && cert != "" && key != "" {
			return []string{cert, key}, nil
		}
	}
	return nil, fmt.Errorf("secret %q is neither file-cert:CERT~KEY nor file-root:PATH[~CRL]", name)
}

// secret gives a file's value; the first call for a name begins to follow it.
func (f *files) secret(name string) (*Value, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e, ok := f.entries[name]; ok {
		return e.value, nil
	}
	paths, err := parseName(name)
	if err != nil {
		return nil, err
	}
	if len(f.entries) >= maxFiles {
		return nil, fmt.Errorf("secret %q: more than %d files", name, maxFiles)
	}
	e := &fileEntry{paths: paths}
	f.entries[name] = e
	f.load(name, e)
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return e.value, nil
}

// load reads an entry and says whether it changed. What cannot be used leaves the former value.
func (f *files) load(name string, e *fileEntry) bool {
	v, err := readFiles(e.paths)
	if err != nil {
		if e.failed != err.Error() {
			e.failed = err.Error()
			f.log.Warn("certificate file cannot be used", "secret", name, "error", err)
		}
		return false
	}
	e.failed = ""
	if e.value != nil && e.value.Version == v.Version {
		return false
	}
	e.value = v
	return true
}

func readFiles(paths []string) (*Value, error) {
	first, err := readFile(paths[0])
	if err != nil {
		return nil, err
	}
	if len(paths) == 1 {
		if !x509.NewCertPool().AppendCertsFromPEM(first) {
			return nil, fmt.Errorf("%s: no certificate", paths[0])
		}
		return &Value{Version: version(first), Roots: first}, nil
	}
	key, err := readFile(paths[1])
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(first, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", paths[0], paths[1], err)
	}
	return &Value{Version: version(first), CertificateChain: first, PrivateKey: key, NotAfter: pair.Leaf.NotAfter}, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	return data, err
}

// run follows the directories of all entries. Directories, because a mounted Secret is replaced by
// turning a symbolic link in its directory.
func (f *files) run(ctx context.Context) (err error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("certificate files: %w", err)
	}
	defer func() { err = errors.Join(err, watcher.Close()) }()
	reread := time.NewTicker(rereadEvery)
	defer reread.Stop()
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
			f.watch(watcher)
			rest.Reset(quiet) // it may have changed before it was watched
		case <-watcher.Events:
			rest.Reset(quiet)
		case err := <-watcher.Errors:
			f.log.Warn("certificate files: notification lost", "error", err)
			rest.Reset(quiet)
		case <-rest.C:
			f.reload()
		case <-reread.C:
			f.watch(watcher)
			f.reload()
		}
	}
}

func (f *files) watch(watcher *fsnotify.Watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.entries {
		for _, path := range e.paths {
			// A directory that is not there yet is tried again with the next reread.
			if err := watcher.Add(filepath.Dir(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
				f.log.Debug("certificate files: directory not watched", "path", path, "error", err)
			}
		}
	}
}

func (f *files) reload() {
	f.mu.Lock()
	changed := false
	for name, e := range f.entries {
		changed = f.load(name, e) || changed
	}
	f.mu.Unlock()
	if changed {
		f.notify()
	}
}
