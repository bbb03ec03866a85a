package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
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

	mu   sync.Mutex
	seen os.FileInfo
	set  []jose.JSONWebKey
}

func (f *keyFile) keys(_ context.Context, keyID string) ([]jose.JSONWebKey, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refresh(); err != nil {
		if f.set == nil {
			return nil, err
		}
		// A file caught half-written, or a mistake in it, must not lock everybody out.
		f.log.Warn("token keys: file cannot be used, the former keys stay", "file", f.path, "error", err)
	}
	return withID(f.set, keyID), nil
}

func (f *keyFile) refresh() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	if f.seen != nil && os.SameFile(info, f.seen) && info.ModTime().Equal(f.seen.ModTime()) && info.Size() == f.seen.Size() {
		return nil
	}
	f.seen = info // a file that is no use is read, and reported, once
	if info.Size() > maxDocument {
		return fmt.Errorf("%s: larger than %d bytes", f.path, maxDocument)
	}
	data, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	set, err := parseKeys(data)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	f.set = set
	return nil
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
