package auth

import (
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"time"
)

// maxVerified bounds the chains that are remembered.
const maxVerified = 4096

// verified remembers chains of certificates that lead to the present roots, each until its first certificate
// ends. A connection shows the same one for each of its streams, and verifying it costs as much as a signature
// of the CA. Only what verified is remembered, and nothing across an exchange of the roots.
type verified struct {
	mu     sync.Mutex
	roots  *x509.CertPool
	chains map[[sha256.Size]byte]period
}

// period is when all certificates of a chain are valid.
type period struct{ from, until time.Time }

func newVerified() *verified { return &verified{chains: map[[sha256.Size]byte]period{}} }

// verify does what a TLS server does with the chain of a client, leaf first.
func (v *verified) verify(certs []*x509.Certificate, roots *x509.CertPool, revoked func([]*x509.Certificate) error, now time.Time) error {
	hash := hashOf(certs)
	if v.known(hash, roots, now) {
		return nil
	}
	intermediates := x509.NewCertPool()
	for _, c := range certs[1:] {
		intermediates.AddCert(c)
	}
	paths, err := certs[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return err
	}
	if revoked != nil {
		for _, path := range paths { // of several, one that is not revoked is enough
			if err = revoked(path); err == nil {
				paths = [][]*x509.Certificate{path}
				break
			}
		}
		if err != nil {
			return err
		}
	}
	p := period{paths[0][0].NotBefore, paths[0][0].NotAfter}
	for _, c := range paths[0] {
		if c.NotBefore.After(p.from) {
			p.from = c.NotBefore
		}
		if c.NotAfter.Before(p.until) {
			p.until = c.NotAfter
		}
	}
	v.keep(hash, roots, p)
	return nil
}

// hashOf names a chain.
func hashOf(certs []*x509.Certificate) (out [sha256.Size]byte) {
	h := sha256.New()
	for _, c := range certs {
		one := sha256.Sum256(c.Raw)
		h.Write(one[:])
	}
	h.Sum(out[:0])
	return out
}

func (v *verified) known(hash [sha256.Size]byte, roots *x509.CertPool, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	p, ok := v.chains[hash]
	return ok && v.roots == roots && !now.Before(p.from) && !now.After(p.until)
}

func (v *verified) keep(hash [sha256.Size]byte, roots *x509.CertPool, p period) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.roots != roots || len(v.chains) >= maxVerified {
		v.roots = roots
		clear(v.chains)
	}
	v.chains[hash] = p
}
