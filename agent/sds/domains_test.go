package sds_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/identitytest"
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
			pairs[name+" "+domain] = identitytest.Signed(t, caOf(t, dir, domain), "default", "reviews")
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

// A CA of another trust domain could sign a second name, which Envoy's checks take as well: such a certificate gets
// nothing done. One that has a name of DNS beside its identity does, as SPIRE signs them.
func TestEnvoyTakesOneIdentityOfACertificate(t *testing.T) {
	dir := t.TempDir()
	authority, address, rootFile := serveCA(t, ca.Options{})
	further := map[string]*ca.Authority{"other.example": caOf(t, dir, "other.example")}
	manager, port := envoyOf(t, address, rootFile, "")
	if err := manager.TakeTrust(told(t, []string{string(authority.RootPEM())}, further)); err != nil {
		t.Fatal(err)
	}
	key, root := signerOf(t, dir)
	taken := func(dns string, uris ...string) bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: root.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature}
		if dns != "" {
			template.DNSNames = []string{dns}
		}
		for _, text := range uris {
			u, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			template.URIs = append(template.URIs, u)
		}
		der, err := x509.CreateCertificate(rand.Reader, template, root, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		_, err = callAs(ctx, port, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, authority)
		return err == nil
	}
	const theirs, ours = "spiffe://other.example/ns/a/sa/b", "spiffe://cluster.local/ns/a/sa/b"
	envoytest.Eventually(t, "their identity is taken", func() bool { return taken("", theirs) })
	if !taken("b.a.svc", theirs) {
		t.Error("a name of DNS beside theirs is refused")
	}
	for _, second := range []string{ours, theirs + "2", "spiffe://x", "https://x"} {
		if taken("", theirs, second) {
			t.Errorf("%s is taken beside theirs", second)
		}
	}
	if taken(ours, theirs) {
		t.Error("our identity is taken as a name of DNS beside theirs")
	}
}
