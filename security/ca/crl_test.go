package ca_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// company is a root and an intermediate, which is the plugged-in CA of a directory.
type company struct {
	t         *testing.T
	dir       string
	root, sub certified
}

type certified struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newCompany(t *testing.T) *company {
	t.Helper()
	c := &company{t: t, dir: t.TempDir()}
	issue := func(cn string, serial int64, by *certified) certified {
		key := p256(t)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: cn},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
		if by == nil {
			by = &certified{key, template}
		}
		der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
		if err != nil {
			t.Fatal(err)
		}
		return certified{key, parse(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))}
	}
	c.root = issue("root", 1, nil)
	c.sub = issue("sub", 2, &c.root)
	text := func(x certified) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: x.cert.Raw})
	}
	c.write("ca-cert.pem", text(c.sub))
	c.write("root-cert.pem", text(c.root))
	c.write("ca-key.pem", pem.EncodeToMemory(pkcs8(c.sub.key)))
	return c
}

func (c *company) write(name string, data []byte) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), data, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// list gives what a CA revokes.
func (c *company) list(by certified, serials ...int64) []byte {
	c.t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour)}
	for _, n := range serials {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, by.cert, by.key)
	if err != nil {
		c.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// A list that proxies could not use, or that would let them refuse everyone, is refused with the reason.
func TestRevocationListsThatAreRefused(t *testing.T) {
	c := newCompany(t)
	both := append(c.list(c.root), c.list(c.sub)...)
	other := newCompany(t)
	for name, bad := range map[string]struct {
		text []byte
		says string
	}{
		"no PEM":              {[]byte("hello"), "no revocation list"},
		"a certificate":       {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.sub.cert.Raw}), "CERTIFICATE"},
		"half a list":         {pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte{0x30, 1}}), "crl"},
		"none of the root":    {c.list(c.sub), `"CN=root"`},
		"none of the signer":  {c.list(c.root), `"CN=sub"`},
		"of another's signer": {append(c.list(c.root), other.list(other.sub)...), `"CN=sub"`},
	} {
		c.write("ca-crl.pem", bad.text)
		_, err := ca.New(ca.Options{Dir: c.dir})
		if err == nil || !strings.Contains(err.Error(), "ca-crl.pem") || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%s: %v, want a reason with %q", name, err, bad.says)
		}
	}
	for _, good := range [][]byte{both, nil, []byte("\n")} {
		c.write("ca-crl.pem", good)
		if _, err := ca.New(ca.Options{Dir: c.dir}); err != nil {
			t.Error(err)
		}
	}
}

// What the CA's files revoke is told to everyone when they change, and counts for its own callers.
func TestRevocationListIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCompany(t)
		k := keeper(t, ca.KeeperOptions{Options: ca.Options{Dir: c.dir}})
		chain, err := k.SignWorkload(request(t, p256(t), &x509.CertificateRequest{}), reviews, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		path := []*x509.Certificate{parse(t, chain[0]), c.sub.cert, c.root.cert}
		if k.CRL() != nil || k.Revoked(path) != nil {
			t.Errorf("without a list: %s, %v", k.CRL(), k.Revoked(path))
		}
		changed, before := k.Changed(), k.Roots()
		text := append(c.list(c.root, 2), c.list(c.sub, 99)...)
		c.write("ca-crl.pem", text)
		select {
		case <-changed:
		case <-time.After(time.Hour):
			t.Fatal("nobody is told")
		}
		if string(k.CRL()) != string(text) {
			t.Errorf("the list is %s", k.CRL())
		}
		if err := k.Revoked(path); err == nil || !strings.Contains(err.Error(), "certificate 2") {
			t.Errorf("the intermediate is revoked: %v", err)
		}
		if k.Roots() == before {
			t.Error("the pool is the same, so what verified before is still remembered")
		}
	})
}
