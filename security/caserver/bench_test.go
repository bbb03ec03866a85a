package caserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	security "istio.io/api/security/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// BenchmarkIssue is a certificate with all that is done for it but the connection: its turn, the signature, the
// line of the audit log. BenchmarkBareP256 of security/ca is what goal P9 compares it with.
func BenchmarkIssue(b *testing.B) {
	authority, err := ca.New(ca.Options{})
	if err != nil {
		b.Fatal(err)
	}
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		b.Fatal(err)
	}
	req := &security.IstioCertificateRequest{Csr: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))}
	id := auth.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "reviews"}
	s := New(authority, &caller{id: id}, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
	for b.Loop() {
		if _, err := s.CreateCertificate(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}
