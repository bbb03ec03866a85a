package ca_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// BenchmarkSignWorkload against BenchmarkBareP256 is goal P9: at least 60 % of the bare rate.
func BenchmarkSignWorkload(b *testing.B) {
	a := authority(b, ca.Options{})
	csr := request(b, p256(b), &x509.CertificateRequest{})
	for b.Loop() {
		if _, err := a.SignWorkload(csr, reviews, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBareP256 is the least that signing a request takes: its signature verified, one made,
// and that one verified.
func BenchmarkBareP256(b *testing.B) {
	key := p256(b)
	digest := sha256.Sum256([]byte("certificate"))
	for b.Loop() {
		sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		for range 2 {
			if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], sig) {
				b.Fatal("not verified")
			}
		}
	}
}
