// Package ca is the mesh's certificate authority: in three steps it makes a template for a proven
// identity, signs it, and checks what was signed before it leaves. Nothing in a certificate is
// taken from the caller's request but the public key.
package ca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
)

// Options of an Authority.
type Options struct {
	// Dir keeps the self-signed root (ca-key.pem, root-cert.pem), or holds a plugged-in CA
	// (ca-cert.pem, ca-key.pem, root-cert.pem, cert-chain.pem). Empty: the root lives in memory.
	Dir string
	// Files are those of a plugged-in CA by name, in the place of Dir, as a Secret holds them. Without
	// root-cert.pem ca-cert.pem is the root. ca-crl.pem, where there is one, holds what the CAs have revoked.
	Files map[string][]byte
	// Own tells that Files are of a CA that was made here (SelfSigned), whose root is renewed and rotated.
	Own bool
	// TrustDomain of the mesh, "cluster.local" when empty.
	TrustDomain string
	// DefaultTTL of workload certificates is 24 h when zero. MaxTTL bounds what a caller may ask
	// for, a day when zero, or DefaultTTL where that is longer.
	DefaultTTL, MaxTTL time.Duration
	// RootTTL of a new self-signed root, 10 years when zero.
	RootTTL time.Duration
	// Clock is time.Now when nil.
	Clock func() time.Time
}

const (
	day = 24 * time.Hour
	// backdate lets a certificate work on machines whose clock is a little behind.
	backdate = 2 * time.Minute
	// minRemaining is the least that the signing certificate must still live to be of use.
	minRemaining = 10 * time.Second
)

// Authority signs certificates. It never changes after New, and is safe for concurrent use.
type Authority struct {
	opts   Options
	key    crypto.Signer
	signer *x509.Certificate
	// chain is what follows a leaf on the wire: the signer and its intermediates, without the
	// root. It is empty for a self-signed root.
	chain []*x509.Certificate
	// chainPEM is chain and the roots, one PEM an element.
	chainPEM []string
	rootPEM  []byte
	roots    *x509.CertPool
	// rootCerts are the same roots, and path leads from the signer to one of them.
	rootCerts, path []*x509.Certificate
	// plugged tells that the CA is the user's, and not one that was made here.
	plugged bool
	revoked revocations
	// notAfter is the earliest end of any certificate between a leaf and its root, that included.
	notAfter, rootNotAfter time.Time
}

// New loads the CA of opts.Dir, or makes a self-signed root there or in memory.
func New(opts Options) (*Authority, error) {
	opts.setDefaults()
	if !validTTL(opts.DefaultTTL) || !validTTL(opts.MaxTTL) || !validTTL(opts.RootTTL) {
		return nil, errors.New("ca: a lifetime must be at least a second")
	}
	// The trust domain goes into every certificate, so it is better refused here than there.
	probe := auth.Identity{TrustDomain: opts.TrustDomain, Namespace: "x", ServiceAccount: "x"}
	if err := probe.Validate(); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	m, err := load(opts)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	a, err := assemble(opts, m)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return a, nil
}

func (o *Options) setDefaults() {
	if o.TrustDomain == "" {
		o.TrustDomain = "cluster.local"
	}
	if o.DefaultTTL == 0 {
		o.DefaultTTL = day
	}
	if o.MaxTTL == 0 {
		o.MaxTTL = max(day, o.DefaultTTL)
	}
	if o.RootTTL == 0 {
		o.RootTTL = 3650 * day
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
}

func validTTL(d time.Duration) bool { return d >= time.Second }

// assemble checks that the material belongs together, and prepares what every answer repeats.
func assemble(opts Options, m material) (*Authority, error) {
	a := &Authority{opts: opts, key: m.key, signer: m.signer, roots: x509.NewCertPool(), rootCerts: m.roots, plugged: m.plugged}
	if !samePublicKey(m.key.Public(), m.signer.PublicKey) {
		return nil, errors.New("ca-key.pem does not belong to the CA certificate")
	}
	if !m.signer.IsCA || m.signer.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, errors.New("the CA certificate may not sign certificates")
	}
	if err := checkAuthorityKey(m.key.Public()); err != nil {
		return nil, fmt.Errorf("ca-key.pem: %w", err)
	}
	for _, r := range m.roots {
		a.roots.AddCert(r)
	}
	path, err := m.path(a.roots, opts.Clock())
	if err != nil {
		return nil, err
	}
	a.path = path
	if a.revoked, err = parseCRL(m.crl, append(slices.Clone(path), m.roots...)); err != nil {
		return nil, fmt.Errorf("%s: %w", crlFile, err)
	}
	a.chain = path[:len(path)-1]
	a.notAfter = path[0].NotAfter
	for _, c := range path {
		if c.NotAfter.Before(a.notAfter) {
			a.notAfter = c.NotAfter
		}
	}
	a.rootNotAfter = path[len(path)-1].NotAfter
	for _, c := range a.chain {
		a.chainPEM = append(a.chainPEM, string(certPEM(c.Raw)))
	}
	// The root of the path stays last, after any further roots (of a rotation).
	for _, r := range m.roots {
		if !r.Equal(path[len(path)-1]) {
			a.rootPEM = append(a.rootPEM, certPEM(r.Raw)...)
		}
	}
	a.rootPEM = append(a.rootPEM, certPEM(path[len(path)-1].Raw)...)
	a.chainPEM = append(a.chainPEM, string(a.rootPEM))
	return a, nil
}

// path gives the shortest way from the signer to a root, both included, on which no key is weak.
func (m *material) path(roots *x509.CertPool, now time.Time) ([]*x509.Certificate, error) {
	pool := x509.NewCertPool()
	for _, c := range m.intermediates {
		pool.AddCert(c)
	}
	paths, err := m.signer.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, fmt.Errorf("the CA certificate does not lead to a root: %w", err)
	}
	path := paths[0]
	for _, p := range paths { // a signer that is a root itself needs no other
		if len(p) < len(path) {
			path = p
		}
	}
	for _, c := range path { // of their signatures, Verify refuses weak ones
		if err := checkAuthorityKey(c.PublicKey); err != nil {
			return nil, fmt.Errorf("certificate %q: %w", c.Subject, err)
		}
	}
	return path, nil
}

// sameAs tells whether another Authority signs and trusts the same.
func (a *Authority) sameAs(b *Authority) bool {
	return samePublicKey(a.key.Public(), b.key.Public()) && slices.Equal(a.chainPEM, b.chainPEM) && bytes.Equal(a.revoked.text, b.revoked.text)
}

// bundle gives the roots as PEM, one an element, first the one that the signer leads to.
func (a *Authority) bundle() []string {
	out := []string{string(certPEM(a.path[len(a.path)-1].Raw))}
	for _, r := range a.rootCerts {
		if !r.Equal(a.path[len(a.path)-1]) {
			out = append(out, string(certPEM(r.Raw)))
		}
	}
	return out
}

// TrustDomain of the mesh.
func (a *Authority) TrustDomain() string { return a.opts.TrustDomain }

// RootPEM gives the roots that peers are verified against.
func (a *Authority) RootPEM() []byte { return bytes.Clone(a.rootPEM) }

// Roots gives the same roots as a pool, which must not be changed.
func (a *Authority) Roots() *x509.CertPool { return a.roots }

// NotAfter gives the end of the root, and the earliest end in the chain from signer to root.
func (a *Authority) NotAfter() (root, chain time.Time) { return a.rootNotAfter, a.notAfter }

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// samePublicKey compares keys of the types that the standard library has.
func samePublicKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
