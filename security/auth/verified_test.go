package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"testing"
	"time"
)

type issuer struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// issue gives a certificate that ends after some hours, by a CA or by itself.
func issue(t *testing.T, by *issuer, isCA bool, start time.Time, hours int) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: start, NotAfter: start.Add(time.Duration(hours) * time.Hour),
		IsCA: isCA, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	template.Subject.CommonName = fmt.Sprint(key.X)
	parent := &issuer{key, template}
	if by != nil {
		parent = by
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{key, cert}
}

// A chain that verified is good until one of its certificates ends, and no more after the roots were exchanged.
func TestAVerifiedChainIsRememberedForAsLongAsItIsGood(t *testing.T) {
	start := time.Now().Truncate(time.Second)
	root := issue(t, nil, true, start, 100)
	between := issue(t, root, true, start, 2)
	leaf := issue(t, between, false, start, 10)
	pool := func(roots ...*issuer) *x509.CertPool {
		p := x509.NewCertPool()
		for _, r := range roots {
			p.AddCert(r.cert)
		}
		return p
	}
	v, roots := newVerified(), pool(root)
	chain := []*x509.Certificate{leaf.cert, between.cert}
	for range 2 { // verified, remembered
		if err := v.verify(chain, roots, nil, start.Add(time.Hour)); err != nil {
			t.Error(err)
		}
	}
	if len(v.chains) != 1 {
		t.Errorf("%d are remembered", len(v.chains))
	}
	for name, c := range map[string]struct {
		chain []*x509.Certificate
		roots *x509.CertPool
		after time.Duration
	}{
		"its intermediate has ended": {chain, roots, 3 * time.Hour},
		"it is not valid yet":        {chain, roots, -time.Minute},
		"the roots are others":       {chain, pool(issue(t, nil, true, start, 100)), time.Hour},
		"it lacks the intermediate":  {chain[:1], roots, time.Hour},
		"another leaf, same rest":    {[]*x509.Certificate{issue(t, issue(t, nil, true, start, 9), false, start, 9).cert, between.cert}, roots, time.Hour},
	} {
		if err := v.verify(chain, roots, nil, start.Add(time.Hour)); err != nil {
			t.Errorf("before %s: %v", name, err)
		}
		if err := v.verify(c.chain, c.roots, nil, start.Add(c.after)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for range 2 * maxVerified {
		v.keep(hashOf([]*x509.Certificate{{Raw: []byte(rand.Text())}}), roots, period{})
	}
	if len(v.chains) > maxVerified {
		t.Errorf("%d are remembered", len(v.chains))
	}
}

// A chain of which the issuer has revoked a certificate proves nothing, and is not remembered.
func TestARevokedChainProvesNothing(t *testing.T) {
	start := time.Now().Truncate(time.Second)
	root := issue(t, nil, true, start, 100)
	leaf := issue(t, root, false, start, 10)
	roots := x509.NewCertPool()
	roots.AddCert(root.cert)
	v := newVerified()
	revoked := func(chain []*x509.Certificate) error {
		if len(chain) == 2 && chain[0].Equal(leaf.cert) {
			return errors.New("revoked")
		}
		return nil
	}
	for range 2 {
		if err := v.verify([]*x509.Certificate{leaf.cert}, roots, revoked, start); err == nil {
			t.Error("a revoked certificate proves something")
		}
	}
	if err := v.verify([]*x509.Certificate{issue(t, root, false, start, 10).cert}, roots, revoked, start); err != nil {
		t.Error(err)
	}
}
