package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxDocument bounds a key set or discovery document in bytes, maxKeys the keys of a set.
	maxDocument = 1 << 20
	maxKeys     = 64
	// An issuer's keys are fetched again after keysFor; when a token names an unknown key, sooner,
	// but not more often than once in refetchAfter.
	keysFor      = time.Hour
	refetchAfter = 10 * time.Second
	// fetchTimeout bounds one fetch, discovery and keys together.
	fetchTimeout = 10 * time.Second
)

// parseKeys keeps the public signature keys of a set; it is an error when there is none. Keys of types that
// nobody here knows are left out (RFC 7517, section 5).
func parseKeys(data []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("not a JSON web key set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys, more than %d", len(set.Keys), maxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(raw, &k) == nil && (k.Use == "" || k.Use == "sig") && k.Valid() && k.IsPublic() {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no public signature key")
	}
	return keys, nil
}

// withID gives the keys that may have signed a token that names keyID.
func withID(keys []jose.JSONWebKey, keyID string) []jose.JSONWebKey {
	if keyID == "" {
		return keys
	}
	var out []jose.JSONWebKey
	for _, k := range keys {
		if k.KeyID == keyID {
			out = append(out, k)
		}
	}
	return out
}

// keyFile reads keys from a file, again when the file is another or has changed.
type keyFile struct {
	path string
	log  *slog.Logger

	read atomic.Pointer[keysRead] // nil before the first time
}

// keysRead is what came of reading a file.
type keysRead struct {
	of  os.FileInfo
	set []jose.JSONWebKey // of the last file that was of use
	err error
}

// keys reads without a lock: several callers at once may read the same twice, and none waits for another's disk.
func (f *keyFile) keys(_ context.Context, keyID string) ([]jose.JSONWebKey, error) {
	last := f.read.Load()
	if last == nil {
		last = &keysRead{}
	}
	info, err := os.Stat(f.path)
	if err == nil && !sameFile(info, last.of) {
		next := &keysRead{of: info, set: last.set} // a file that is no use is read, and reported, once
		if set, failure := readKeys(f.path); failure != nil {
			next.err, err = failure, failure
		} else {
			next.set = set
		}
		f.read.Store(next)
		last = next
	}
	switch {
	case last.set == nil:
		return nil, cmp.Or(err, last.err)
	case err != nil:
		// A file caught half-written, or a mistake in it, must not lock everybody out.
		f.log.Warn("token keys: file cannot be used, the former keys stay", "file", f.path, "error", err)
	}
	return withID(last.set, keyID), nil
}

// sameFile tells whether a file is the one that was seen, unchanged.
func sameFile(info, seen os.FileInfo) bool {
	return seen != nil && os.SameFile(info, seen) && info.ModTime().Equal(seen.ModTime()) && info.Size() == seen.Size()
}

// readKeys reads a regular file, up to a bound: others could make the reader wait, or never end.
func readKeys(path string) ([]jose.JSONWebKey, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe is not waited for
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is no regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxDocument+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxDocument:
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxDocument)
	}
	set, err := parseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return set, nil
}

// oidc finds an issuer's keys by OIDC discovery.
type oidc struct {
	issuer *url.URL
	at     *url.URL // of the keys; nil where discovery tells
	// name is the issuer as tokens spell it.
	name   string
	client *http.Client
	clock  func() time.Time
	log    *slog.Logger

	current atomic.Pointer[fetchedKeys]
	// fetching is a lock that can be given up.
	fetching chan struct{}
	tried    time.Time // of the last fetch, under fetching
	failure  error     // of the last fetch, under fetching
}

type fetchedKeys struct {
	set []jose.JSONWebKey
	at  time.Time
}

func newOIDC(cfg TokenConfig) (*oidc, error) {
	u, err := url.Parse(cfg.Issuer)
	if cfg.JWKSURI == "" && (err != nil || u.Host == "" || !secure(u)) { // else it is a name
		return nil, fmt.Errorf("token issuer %q is not an https URL", cfg.Issuer)
	}
	var at *url.URL
	if cfg.JWKSURI != "" {
		if at, err = url.Parse(cfg.JWKSURI); err != nil || at.Host == "" || !secure(at) {
			return nil, fmt.Errorf("keys of the token issuer: %q is not an https URL", cfg.JWKSURI)
		}
	}
	client := cfg.HTTP
	if client == nil {
		client = &http.Client{}
	}
	own := *client
	// A redirect could lead from https to http, or to a machine of somebody else's choice.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &oidc{
		issuer: u, at: at, name: cfg.Issuer, client: &own, clock: cfg.Clock, log: cfg.Logger,
		fetching: make(chan struct{}, 1),
	}, nil
}

// secure accepts plain http to this machine only.
func secure(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

func (o *oidc) keys(ctx context.Context, keyID string) ([]jose.JSONWebKey, error) {
	if set, ok := o.cached(keyID); ok {
		return set, nil
	}
	select {
	case o.fetching <- struct{}{}:
		defer func() { <-o.fetching }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if set, ok := o.cached(keyID); ok {
		return set, nil
	}
	if now := o.clock(); o.tried.IsZero() || now.Sub(o.tried) >= refetchAfter {
		o.tried = now
		var set []jose.JSONWebKey
		if set, o.failure = o.fetch(ctx); o.failure == nil {
			o.current.Store(&fetchedKeys{set: set, at: now})
		} else if o.current.Load() != nil {
			o.log.Warn("token keys: issuer cannot be asked, the former keys stay", "issuer", o.name, "error", o.failure)
		}
	}
	if c := o.current.Load(); c != nil {
		return withID(c.set, keyID), nil
	}
	return nil, o.failure
}

// cached gives keys that are fresh and known.
func (o *oidc) cached(keyID string) ([]jose.JSONWebKey, bool) {
	c := o.current.Load()
	if c == nil || o.clock().Sub(c.at) > keysFor {
		return nil, false
	}
	set := withID(c.set, keyID)
	return set, len(set) > 0
}

func (o *oidc) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	// One caller that goes away must not fail the fetch for those who wait for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	if o.at != nil {
		return fetchKeys(ctx, o.client, o.at)
	}
	u, err := discover(ctx, o.client, o.issuer, o.name)
	if err != nil {
		return nil, err
	}
	if !secure(u) {
		return nil, fmt.Errorf("discovery document of %s: jwks_uri %q is not an https URL", o.name, u)
	}
	return fetchKeys(ctx, o.client, u)
}
