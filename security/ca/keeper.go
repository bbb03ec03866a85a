package ca

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
)

// lookEvery is how often a Keeper looks at its directory.
const lookEvery = time.Second

// KeeperOptions of a Keeper.
type KeeperOptions struct {
	Options
	// Proxies, Hold and Delivery are those of the Rotation of a directory.
	Proxies        func(ctx context.Context) []Heard
	Hold, Delivery time.Duration
	// Logger must not be nil.
	Logger *slog.Logger
}

// Keeper holds the Authority of a directory, and puts another one in its place when the directory
// changes: a plugged-in CA that was exchanged, a step of a rotation, a root that is renewed. It is safe for
// concurrent use.
type Keeper struct {
	opts     KeeperOptions
	current  atomic.Pointer[Authority]
	rotation *Rotation // of a directory

	mu      sync.Mutex
	changed chan struct{} // closed at the next change of the roots

	// What follows belongs to Run, and to NewKeeper before it.
	seen, odd [sha256.Size]byte // of the files that the Authority was made of, and of what was found last
	failed    string            // the last failure, so that it is logged once
}

// NewKeeper loads the CA of opts.Dir, or makes one there or in memory.
func NewKeeper(opts KeeperOptions) (*Keeper, error) {
	opts.setDefaults()
	k := &Keeper{opts: opts, changed: make(chan struct{})}
	a, err := New(opts.Options)
	if err != nil {
		return nil, err
	}
	k.current.Store(a)
	k.rotation = NewRotation(RotationOptions{
		Options: opts.Options, Store: directory(opts.Dir), Proxies: opts.Proxies, Hold: opts.Hold, Delivery: opts.Delivery, Logger: opts.Logger,
	})
	k.seen, err = k.fingerprint()
	k.odd = k.seen
	return k, err
}

// SignWorkload is the present Authority's.
func (k *Keeper) SignWorkload(csrPEM []byte, id auth.Identity, ttl time.Duration) ([]string, error) {
	return k.current.Load().SignWorkload(csrPEM, id, ttl)
}

// SignProven gives a certificate for a proven identity; see Authority.SignProven.
func (k *Keeper) SignProven(csrPEM []byte, proof auth.Proof, ttl time.Duration) (Issued, error) {
	return k.current.Load().SignProven(csrPEM, proof, ttl)
}

// NotAfter is the present Authority's.
func (k *Keeper) NotAfter() (root, chain time.Time) { return k.current.Load().NotAfter() }

// MaxTTL is the longest lifetime of a certificate that is signed.
func (k *Keeper) MaxTTL() time.Duration { return k.opts.MaxTTL }

// TrustDomain of the mesh.
func (k *Keeper) TrustDomain() string { return k.opts.TrustDomain }

// Roots gives the present roots, which must not be changed.
func (k *Keeper) Roots() *x509.CertPool { return k.current.Load().Roots() }

// Bundle gives the present roots as PEM, one an element. The first is the root of what is signed now: a
// certificate that leads to another one is due for renewal.
func (k *Keeper) Bundle() []string { return k.current.Load().bundle() }

// RootPEM gives the present roots as PEM.
func (k *Keeper) RootPEM() []byte { return k.current.Load().RootPEM() }

// CRL gives the present Authority's list.
func (k *Keeper) CRL() []byte { return k.current.Load().CRL() }

// Revoked is the present Authority's.
func (k *Keeper) Revoked(chain []*x509.Certificate) error { return k.current.Load().Revoked(chain) }

// Plugged tells whether the present Authority is plugged in, and not made here.
func (k *Keeper) Plugged() bool { return k.current.Load().plugged }

// Changed gives a channel that is closed when the bundle or the revocation list changes. Take it before reading the bundle.
func (k *Keeper) Changed() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changed
}

// ServerCertificate gives a tls.Config.GetCertificate like Authority.ServerCertificate does, whose
// certificate is made anew when the Authority is another one.
func (k *Keeper) ServerCertificate(dnsNames []string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	var mu sync.Mutex
	var of *Authority
	var get func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		if a := k.current.Load(); a != of {
			of, get = a, a.ServerCertificate(dnsNames)
		}
		now := get
		mu.Unlock()
		return now(hello)
	}
}

// Run follows the directory until ctx ends. A CA in memory has nothing to follow.
func (k *Keeper) Run(ctx context.Context) error {
	if k.opts.Dir == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := k.look(ctx); err != nil && err.Error() != k.failed {
			k.opts.Logger.Error("the CA's directory", "dir", k.opts.Dir, "error", err)
			k.failed = err.Error()
		} else if err == nil {
			k.failed = ""
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look takes one look at the directory, and does what is to be done.
func (k *Keeper) look(ctx context.Context) error {
	if err := k.reload(); err != nil {
		return err
	}
	if k.odd != k.seen { // somebody is exchanging the files
		return nil
	}
	changed, err := k.rotation.Look(ctx)
	if changed {
		err = errors.Join(err, k.load())
	}
	return err
}

// reload loads the CA again if its files are others than before, and the same as at the last look: who
// exchanges them writes one after the other. What cannot be used leaves the CA as it is.
func (k *Keeper) reload() error {
	found, err := k.fingerprint()
	if err != nil {
		return err
	}
	if same := found == k.odd; found == k.seen || !same {
		k.odd = found
		return nil
	}
	return k.load()
}

// load puts the CA of the directory in the place of the present one.
func (k *Keeper) load() error {
	next, err := New(k.opts.Options)
	if err != nil {
		return err
	}
	if k.seen, err = k.fingerprint(); err != nil {
		return err
	}
	k.odd = k.seen
	k.put(next)
	return nil
}

// put puts a CA in the place of the present one.
func (k *Keeper) put(next *Authority) {
	former := k.current.Swap(next)
	if !bytes.Equal(former.rootPEM, next.rootPEM) || !bytes.Equal(former.revoked.text, next.revoked.text) {
		k.mu.Lock()
		close(k.changed)
		k.changed = make(chan struct{})
		k.mu.Unlock()
	}
	if former.sameAs(next) {
		return // only what tells of a rotation
	}
	k.opts.Logger.Info("the CA's files have changed", "dir", k.opts.Dir, "signer", Fingerprint(next.signer), "roots", len(next.bundle()))
}

// fingerprint is a hash of the files that a CA is made of.
func (k *Keeper) fingerprint() ([sha256.Size]byte, error) {
	h := sha256.New()
	if k.opts.Dir == "" {
		return [sha256.Size]byte{}, nil
	}
	for _, name := range authorityFiles() {
		data, err := os.ReadFile(filepath.Join(k.opts.Dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return [sha256.Size]byte{}, err
		}
		fmt.Fprintf(h, "%s %d\n", name, len(data))
		h.Write(data)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
