package ca_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

var reviews = auth.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "reviews"}

func authority(t testing.TB, opts ca.Options) *ca.Authority {
	t.Helper()
	a, err := ca.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func request(t testing.TB, key crypto.Signer, template *x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func p256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func parse(t testing.TB, certPEM string) *x509.Certificate {
	t.Helper()
	block, rest := pem.Decode([]byte(certPEM))
	if block == nil || len(rest) > 0 {
		t.Fatalf("want exactly one PEM block, got %q", certPEM)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// The caller's proven identity is what the certificate says, whatever the request asks for.
func TestRequestNamesAreIgnored(t *testing.T) {
	a := authority(t, ca.Options{})
	other := &url.URL{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/kube-system/sa/admin"}
	csr := request(t, p256(t), &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "admin"},
		URIs:     []*url.URL{other},
		DNSNames: []string{"istiod.istio-system.svc"},
	})
	chain, err := a.SignWorkload(csr, reviews, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	leaf := parse(t, chain[0])
	if got := leaf.URIs[0].String(); len(leaf.URIs) != 1 || got != "spiffe://cluster.local/ns/default/sa/reviews" {
		t.Errorf("URIs = %v", leaf.URIs)
	}
	if len(leaf.DNSNames) > 0 || leaf.Subject.CommonName != "" {
		t.Errorf("names of the request got in: %v %v", leaf.DNSNames, leaf.Subject)
	}
	if leaf.IsCA {
		t.Error("leaf is a CA")
	}
	if string(a.RootPEM()) != chain[len(chain)-1] {
		t.Error("root is not last")
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: a.Roots(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		t.Error(err)
	}
}

func TestKeyTypes(t *testing.T) {
	a := authority(t, ca.Options{})
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	rsa2048, _ := rsa.GenerateKey(rand.Reader, 2048)
	t.Setenv("GODEBUG", "rsa1024min=0")
	rsa1024, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for name, c := range map[string]struct {
		key crypto.Signer
		ok  bool
	}{
		"P-256": {p256(t), true}, "P-384": {p384, true}, "P-521": {p521, false},
		"RSA 2048": {rsa2048, true}, "RSA 1024": {rsa1024, false}, "Ed25519": {ed, true},
	} {
		_, err := a.SignWorkload(request(t, c.key, &x509.CertificateRequest{}), reviews, 0)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !errors.Is(err, ca.ErrRequest) {
			t.Errorf("%s: %v is not the caller's fault", name, err)
		}
	}
}

func TestBadRequests(t *testing.T) {
	a := authority(t, ca.Options{})
	good := request(t, p256(t), &x509.CertificateRequest{})
	block, _ := pem.Decode(good)
	forged := append([]byte(nil), block.Bytes...)
	forged[len(forged)-1] ^= 1 // the signature's last byte
	for name, csr := range map[string][]byte{
		"empty":     nil,
		"no PEM":    []byte("hello"),
		"two":       append(append([]byte(nil), good...), good...),
		"type":      pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}),
		"forged":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: forged}),
		"too large": append(make([]byte, 20<<10), good...),
	} {
		if _, err := a.SignWorkload(csr, reviews, 0); !errors.Is(err, ca.ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	foreign := reviews
	foreign.TrustDomain = "elsewhere"
	for _, id := range []auth.Identity{{}, foreign} {
		if _, err := a.SignWorkload(good, id, 0); err == nil {
			t.Errorf("signed for %v", id)
		}
	}
}

func TestLifetimes(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	clock := func() time.Time { return now }
	a := authority(t, ca.Options{Clock: clock, DefaultTTL: time.Hour, MaxTTL: 2 * time.Hour, RootTTL: 3 * time.Hour})
	csr := request(t, p256(t), &x509.CertificateRequest{})
	for name, c := range map[string]struct {
		at        time.Duration
		ask, want time.Duration // want counts from at; 0 means refused
	}{
		"default":         {0, 0, time.Hour},
		"asked":           {0, 20 * time.Minute, 20 * time.Minute},
		"maximum":         {0, 1000 * time.Hour, 2 * time.Hour},
		"root's end":      {150 * time.Minute, time.Hour, 30 * time.Minute},
		"root is at end":  {3*time.Hour - time.Second, time.Hour, 0},
		"root is expired": {4 * time.Hour, time.Hour, 0},
	} {
		start := now
		now = start.Add(c.at)
		chain, err := a.SignWorkload(csr, reviews, c.ask)
		if (err == nil) != (c.want > 0) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			leaf := parse(t, chain[0])
			if got := leaf.NotAfter.Sub(now); got != c.want {
				t.Errorf("%s: lives %v, want %v", name, got, c.want)
			}
			if !leaf.NotBefore.Before(now) {
				t.Errorf("%s: not backdated", name)
			}
		}
		now = start
	}
}

// A restarted control plane keeps its root, and the key is for its owner alone.
func TestPersistence(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	first := authority(t, ca.Options{Dir: dir})
	second := authority(t, ca.Options{Dir: dir})
	if string(first.RootPEM()) != string(second.RootPEM()) {
		t.Error("root changed over a restart")
	}
	for name, want := range map[string]os.FileMode{"ca-key.pem": 0o600, "root-cert.pem": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 2 {
		t.Errorf("left over: %v", entries)
	}
	// A crash between the two writes leaves a key, from which the root is made.
	if err := os.Remove(filepath.Join(dir, "root-cert.pem")); err != nil {
		t.Fatal(err)
	}
	authority(t, ca.Options{Dir: dir})
	// A root without its key is never replaced.
	if err := os.Remove(filepath.Join(dir, "ca-key.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.New(ca.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "ca-key.pem") {
		t.Errorf("err = %v", err)
	}
}

// plug writes a plugged-in CA below a root of its own, with the file of its chain.
func plug(t *testing.T, edit func(*x509.Certificate)) string {
	t.Helper()
	dir := plugKeys(t, p256(t), p256(t), edit, sec1)
	var chain []byte
	for _, name := range []string{"ca-cert.pem", "root-cert.pem"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, data...)
	}
	if err := os.WriteFile(filepath.Join(dir, "cert-chain.pem"), chain, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPluggedIn(t *testing.T) {
	a := authority(t, ca.Options{Dir: plug(t, func(*x509.Certificate) {})})
	chain, err := a.SignWorkload(request(t, p256(t), &x509.CertificateRequest{}), reviews, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range chain[1:] {
		names = append(names, parse(t, c).Subject.CommonName)
	}
	if strings.Join(names, " ") != "sub root" {
		t.Errorf("chain = leaf %v", names)
	}
	if left := time.Until(parse(t, chain[0]).NotAfter); left > time.Hour {
		t.Errorf("leaf outlives its signer: %v", left)
	}
	for name, edit := range map[string]func(*x509.Certificate){
		"not a CA":   func(c *x509.Certificate) { c.IsCA = false },
		"key usage":  func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature },
		"is expired": func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) },
	} {
		if _, err := ca.New(ca.Options{Dir: plug(t, edit)}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestServerCertificateIsRenewed(t *testing.T) {
	now := time.Now()
	a := authority(t, ca.Options{Clock: func() time.Time { return now }, RootTTL: 100 * time.Hour})
	get := a.ServerCertificate([]string{"istiod.istio-system.svc", "127.0.0.1"})
	serve := func() *tls.Certificate {
		t.Helper()
		cert, err := get(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"istiod.istio-system.svc", "127.0.0.1"} {
			if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: a.Roots(), DNSName: name, CurrentTime: now}); err != nil {
				t.Error(err)
			}
		}
		return cert
	}
	first := serve()
	now = now.Add(11 * time.Hour)
	if serve() != first {
		t.Error("renewed before half its life")
	}
	now = now.Add(2 * time.Hour)
	if serve() == first {
		t.Error("not renewed after half its life")
	}
	now = now.Add(1000 * time.Hour)
	if _, err := get(nil); err == nil {
		t.Error("an expired certificate is served")
	}
}
