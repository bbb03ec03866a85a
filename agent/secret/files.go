package secret

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
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

// crlPrefix is the prefix of the manager's own name of a revocation list.
const crlPrefix = "file-crl:"

// paths of the files of one secret: a certificate and its key, roots, a revocation list beside roots or alone.
type paths struct{ cert, key, root, crl string }

func (p paths) all() []string {
	return slices.DeleteFunc([]string{p.cert, p.key, p.root, p.crl}, func(s string) bool { return s == "" })
}

// fileEntry is one name that was asked for.
type fileEntry struct {
	paths  paths
	value  *Value
	failed string // the last failure, so that it is logged once
}

func newFiles(log *slog.Logger, notify func()) *files {
	return &files{log: log, notify: notify, wake: make(chan struct{}, 1), entries: map[string]*fileEntry{}}
}

// parseName reads file-cert:CERT~KEY, file-root:PATH and file-root:system. Roots may be followed by ~ and the
// path of a revocation list: with one they are a secret of their own, so that a list that cannot be read harms
// nobody else.
func parseName(name string) (paths, error) {
	if path := strings.TrimPrefix(name, crlPrefix); path != name && path != "" {
		return paths{crl: path}, nil
	}
	path, ok := strings.CutPrefix(name, "file-root:")
	path, crl, listed := strings.Cut(path, "~")
	if ok && path != "" && (crl != "" || !listed) {
		if path != "system" {
			return paths{root: path, crl: crl}, nil
		}
		for _, p := range systemRoots {
			if _, err := os.Stat(p); err == nil {
				return paths{root: p, crl: crl}, nil
			}
		}
		return paths{}, fmt.Errorf("secret %q: this machine has no roots of its own", name)
	}
	if pair, ok := strings.CutPrefix(name, "file-cert:"); ok {
		if cert, key, ok := strings.Cut(pair, "~"); ok && cert != "" && key != "" {
			return paths{cert: cert, key: key}, nil
		}
	}
	return paths{}, fmt.Errorf("secret %q is neither file-cert:CERT~KEY nor file-root:PATH[~CRL]", name)
}

// secret gives a file's value; the first call for a name begins to follow it. Files are read without the mutex: a
// disk that does not answer keeps only those waiting who ask for a file of it.
func (f *files) secret(name string) (*Value, error) {
	if v, known := f.known(name); known {
		return v, nil
	}
	from, err := parseName(name)
	if err != nil {
		return nil, err
	}
	v, failure := readFiles(from)
	f.mu.Lock()
	defer f.mu.Unlock()
	if e, ok := f.entries[name]; ok { // another asked at the same time
		return e.value, nil
	}
	if len(f.entries) >= maxFiles {
		return nil, fmt.Errorf("secret %q: more than %d files", name, maxFiles)
	}
	e := &fileEntry{paths: from}
	f.entries[name] = e
	f.take(name, e, v, failure)
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return e.value, nil
}

func (f *files) known(name string) (v *Value, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, known := f.entries[name]
	if known {
		v = e.value
	}
	return v, known
}

// take gives an entry what was read, and says whether it changed. What cannot be used leaves the former value. The
// mutex is held.
func (f *files) take(name string, e *fileEntry, v *Value, err error) bool {
	if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(name, crlPrefix) && e.value == nil {
		return false // the mesh's CA need not have a list
	}
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

func readFiles(p paths) (*Value, error) {
	if p.cert != "" {
		return readPair(p.cert, p.key)
	}
	v := &Value{}
	if p.root != "" {
		roots, err := readFile(p.root)
		if err != nil {
			return nil, err
		}
		if !x509.NewCertPool().AppendCertsFromPEM(roots) {
			return nil, fmt.Errorf("%s: no certificate", p.root)
		}
		v = &Value{Version: version(roots), Roots: roots}
	}
	if p.crl == "" {
		return v, nil
	}
	crl, err := readFile(p.crl)
	if err != nil {
		return nil, err
	}
	if p.root == "" && len(bytes.TrimSpace(crl)) == 0 { // the mesh's CA has no list any more
		return &Value{Version: version(crl)}, nil
	}
	if err := checkCRL(crl); err != nil {
		return nil, fmt.Errorf("%s: %w", p.crl, err)
	}
	return withCRL(v, crl), nil
}

func readPair(certFile, keyFile string) (*Value, error) {
	cert, err := readFile(certFile)
	if err != nil {
		return nil, err
	}
	key, err := readFile(keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
	}
	return &Value{Version: version(cert), CertificateChain: cert, PrivateKey: key, NotAfter: pair.Leaf.NotAfter}, nil
}

// checkCRL refuses what Envoy would refuse: a list that it cannot read.
func checkCRL(text []byte) error {
	lists := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		if _, err := x509.ParseRevocationList(block.Bytes); err != nil {
			return err
		}
		lists++
	}
	if lists == 0 {
		return errors.New("no revocation list in PEM")
	}
	return nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe is not waited for
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: no regular file", path)
	}
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
	for _, p := range f.followed() {
		for _, path := range p.all() {
			// A directory that is not there yet is tried again with the next reread.
			if err := watcher.Add(filepath.Dir(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
				f.log.Debug("certificate files: directory not watched", "path", path, "error", err)
			}
		}
	}
}

// followed gives the files of each name that was asked for.
func (f *files) followed() map[string]paths {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[string]paths, len(f.entries))
	for name, e := range f.entries {
		out[name] = e.paths
	}
	return out
}

func (f *files) reload() {
	changed := false
	for name, p := range f.followed() {
		v, err := readFiles(p)
		f.mu.Lock()
		changed = f.take(name, f.entries[name], v, err) || changed
		f.mu.Unlock()
	}
	if changed {
		f.notify()
	}
}
