package sds_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// caOf opens the CA of a directory, or makes one there, as if it were that of a trust domain.
func caOf(t *testing.T, dir, domain string) *ca.Authority {
	t.Helper()
	a, err := ca.New(ca.Options{Dir: dir, TrustDomain: domain})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// identityBy has a CA sign an identity of its domain.
func identityBy(t *testing.T, a *ca.Authority) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := a.SignWorkload(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}),
		auth.Identity{TrustDomain: a.TrustDomain(), Namespace: "default", ServiceAccount: "reviews"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(strings.Join(chain[:len(chain)-1], "")), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// told is what the control plane sends of trust.
func told(t *testing.T, own []string, further map[string]*ca.Authority) []byte {
	t.Helper()
	b := &ir.TrustBundle{Roots: own}
	if len(further) > 0 {
		b.Domains = []ir.TrustDomain{{Name: "cluster.local"}}
	}
	for name, a := range further {
		b.Domains = append(b.Domains, ir.TrustDomain{Name: name, Roots: []string{string(a.RootPEM())}})
	}
	var m *meshconfig.ProxyConfig = envoy.TrustBundle(b)
	value, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// A real Envoy takes an identity only by a root of its trust domain, also while a root is rotated, and heeds
// what was revoked.
func TestEnvoyVerifiesEachTrustDomainByItsOwnRoots(t *testing.T) {
	dirs := map[string]string{"ours": t.TempDir(), "next": t.TempDir(), "theirs": t.TempDir()}
	authority, address, rootFile := serveCA(t, ca.Options{Dir: dirs["ours"]})
	next, theirs := caOf(t, dirs["next"], "cluster.local"), caOf(t, dirs["theirs"], "other.example")
	crl := filepath.Join(t.TempDir(), "ca-crl.pem")
	manager, port := envoyOf(t, address, rootFile, crl)
	taken := func(pair tls.Certificate) bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := callAs(ctx, port, pair, authority)
		return err == nil
	}
	take := func(own []string, further map[string]*ca.Authority) {
		t.Helper()
		if err := manager.TakeTrust(told(t, own, further)); err != nil {
			t.Fatal(err)
		}
	}
	pairs := map[string]tls.Certificate{} // "CA domain"
	for name, dir := range dirs {
		for _, domain := range []string{"cluster.local", "other.example"} {
			pairs[name+" "+domain] = identityBy(t, caOf(t, dir, domain))
		}
	}
	// The last one that is let in, or kept out, tells that Envoy has the step's roots.
	check := func(step, last string, want ...string) {
		t.Helper()
		wanted := map[string]bool{}
		for _, name := range want {
			wanted[name] = true
		}
		envoytest.Eventually(t, step, func() bool { return taken(pairs[last]) == wanted[last] })
		for name, pair := range pairs {
			if got := taken(pair); got != wanted[name] {
				t.Errorf("%s: identity by %s: taken %v", step, name, got)
			}
		}
	}
	ours, both := []string{string(authority.RootPEM())}, []string{string(next.RootPEM()), string(authority.RootPEM())}
	further := map[string]*ca.Authority{"other.example": theirs}
	take(ours, nil)
	check("one domain", "ours cluster.local", "ours cluster.local", "ours other.example")
	take(ours, further)
	check("two domains", "theirs other.example", "ours cluster.local", "theirs other.example")
	take(both, further)
	check("a root is rotated", "next cluster.local", "ours cluster.local", "next cluster.local", "theirs other.example")
	take(both[:1], further)
	check("the former root is dropped", "ours cluster.local", "next cluster.local", "theirs other.example")
	take(ours, further)
	check("back", "ours cluster.local", "ours cluster.local", "theirs other.example")
	if err := os.WriteFile(crl, revocationList(t, dirs["ours"], pairs["ours cluster.local"].Leaf.SerialNumber), 0o600); err != nil {
		t.Fatal(err)
	}
	check("a certificate is revoked", "ours cluster.local", "theirs other.example")
}
