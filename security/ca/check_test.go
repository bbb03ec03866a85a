package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
)

// Whatever goes wrong between template and signature is withheld.
func TestCheckWithholds(t *testing.T) {
	a, err := New(Options{MaxTTL: 48 * time.Hour, RootTTL: 100 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	id := auth.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "reviews"}
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for name, edit := range map[string]func(*x509.Certificate){
		"":                 func(*x509.Certificate) {},
		"CA":               func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, c.KeyUsage|x509.KeyUsageCertSign },
		"may sign":         func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign },
		"no signature use": func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement },
		"second URI":       func(c *x509.Certificate) { c.URIs = append(c.URIs, id.URL()) },
		"other identity": func(c *x509.Certificate) {
			c.URIs = []*url.URL{{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/a/sa/b"}}
		},
		"DNS name":          func(c *x509.Certificate) { c.DNSNames = []string{"istiod"} },
		"subject":           func(c *x509.Certificate) { c.Subject.CommonName = "admin" },
		"outlives maximum":  func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(72 * time.Hour) },
		"outlives its root": func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(1000 * time.Hour) },
		"no time of proof":  func(c *x509.Certificate) { c.ExtraExtensions = c.ExtraExtensions[1:] },
		"no pod":            func(c *x509.Certificate) { c.ExtraExtensions = slices.Delete(c.ExtraExtensions, 1, 2) },
		"no cluster":        func(c *x509.Certificate) { c.ExtraExtensions = c.ExtraExtensions[:2] },
		"of a foreign pod":  func(c *x509.Certificate) { c.ExtraExtensions[1].Id = asn1.ObjectIdentifier{2, 25, 1764383125} },
		"key":               func(c *x509.Certificate) { c.PublicKey = other.Public() },
	} {
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		template, err := a.template(0, key.Public())
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{id.URL()}
		proof := auth.Proof{Caller: auth.Caller{Identity: id, Pod: "reviews-1"}, Cluster: "east", At: time.Now()}
		if template.ExtraExtensions, err = proof.Extensions(); err != nil {
			t.Fatal(err)
		}
		edit(template)
		signed := key.Public()
		if template.PublicKey != nil {
			signed = template.PublicKey
		}
		der, err := a.sign(template, signed)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.check(cert, proof, key.Public()); (err == nil) != (name == "") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
