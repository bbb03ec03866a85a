package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// Whoever has the key of a certificate renews it for a time after the last proof by a token, however often,
// and then no more. What certificate that gets lives a day at most, whatever was asked.
func TestRenewalByCertificateEnds(t *testing.T) {
	start := time.Now().Truncate(time.Second)
	now := start
	clock := func() time.Time { return now }
	authority, err := ca.New(ca.Options{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	for _, bound := range []time.Duration{0, 100 * time.Hour} {
		a := auth.New(auth.Config{
			TrustDomain: "cluster.local", Roots: authority.Roots, MaxRenewal: bound, Clock: clock,
			Tokens: []auth.TokenVerifier{tokens{"reviews": reviews, "details": details}},
		})
		renew := func(certs []*x509.Certificate, token ...string) ([]*x509.Certificate, auth.Proof, error) {
			proof, err := a.Prove(call(certs, token...))
			if err != nil {
				return nil, proof, err
			}
			key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			csr, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
			issued, err := authority.SignProven(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}), proof, 90*24*time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			cert := issued.Leaf
			if life := cert.NotAfter.Sub(now); life != 24*time.Hour {
				t.Errorf("a certificate lives %v", life)
			}
			return []*x509.Certificate{cert}, proof, nil
		}
		now = start
		cert, _, err := renew(nil, "Bearer reviews")
		if err != nil {
			t.Fatal(err)
		}
		first, last := cert, time.Duration(0)
		for ; now.Sub(start) < 200*time.Hour; now = now.Add(time.Hour) {
			next, proof, err := renew(cert)
			if err != nil {
				if status.Code(err) != codes.Unauthenticated {
					t.Errorf("refused with %v", err)
				}
				break
			}
			if !proof.At.Equal(start) {
				t.Fatalf("after %v it is proven at %v, want %v", now.Sub(start), proof.At, start)
			}
			cert, last = next, now.Sub(start)
		}
		if want := max(bound, 24*time.Hour); last != want {
			t.Errorf("bound %v: renewed for %v after the last token, want %v", bound, last, want)
		}
		if _, proof, err := renew(cert, "Bearer reviews"); err != nil || !proof.At.Equal(now) {
			t.Errorf("a token beside the old certificate: %v, %v", proof, err)
		}
		if _, proof, err := renew(cert, "Bearer details"); err != nil || proof.Identity != details {
			t.Errorf("another's token beside a certificate that renews no more: %v, %v", proof, err)
		}
		now = start.Add(time.Minute)
		if _, proof, err := renew(first, "Bearer details"); err != nil || proof.Identity != reviews || !proof.At.Equal(start) {
			t.Errorf("another's token beside a certificate: %v, %v", proof, err)
		}
	}
}

// A proof keeps to the pod that its token was bound to, through certificates and their renewal.
func TestAProofIsBoundToItsPod(t *testing.T) {
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := auth.New(auth.Config{
		TrustDomain: "cluster.local", Roots: authority.Roots, Tokens: []auth.TokenVerifier{tokens{"reviews": reviews, "details": details}},
	})
	sign := func(ctx context.Context) []*x509.Certificate {
		t.Helper()
		proof, err := a.Prove(ctx)
		if err != nil {
			t.Fatal(err)
		}
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		csr, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		issued, err := authority.SignProven(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}), proof, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return []*x509.Certificate{issued.Leaf}
	}
	abroad := sign(call(nil, "Bearer foreign reviews of reviews-1"))
	first, unbound := sign(call(nil, "Bearer reviews of reviews-1")), sign(call(nil, "Bearer reviews"))
	for name, c := range map[string]struct {
		ctx context.Context
		pod string
	}{
		"a token":                             {call(nil, "Bearer reviews of reviews-1"), "reviews-1"},
		"its certificate":                     {call(first), "reviews-1"},
		"renewed":                             {call(sign(call(first))), "reviews-1"},
		"renewed with another pod's token":    {call(sign(call(first, "Bearer reviews of reviews-2"))), "reviews-2"},
		"renewed with another account's":      {call(sign(call(first, "Bearer details of details-1"))), "reviews-1"},
		"a certificate beside another token":  {call(first, "Bearer reviews of reviews-2"), "reviews-1"},
		"a token for no pod":                  {call(nil, "Bearer reviews"), ""},
		"its certificate, which is for none":  {call(unbound), ""},
		"a certificate that others have made": {call(workload(t, authority, reviews)), ""},
		"another cluster's token":             {call(nil, "Bearer foreign reviews of reviews-1"), "foreign reviews-1"},
		"its certificate, of another cluster": {call(abroad), "foreign reviews-1"},
		"renewed, of another cluster":         {call(sign(call(abroad))), "foreign reviews-1"},
		"another cluster's, for no pod":       {call(sign(call(nil, "Bearer foreign reviews"))), "foreign "},
		"renewed by this cluster's token":     {call(sign(call(abroad, "Bearer reviews of reviews-1"))), "reviews-1"},
		"renewed by another cluster's token":  {call(sign(call(first, "Bearer foreign reviews of reviews-1"))), "foreign reviews-1"},
	} {
		got, err := a.Authenticate(c.ctx)
		if got.Foreign {
			got.Pod = "foreign " + got.Pod
		}
		if err != nil || got.Pod != c.pod {
			t.Errorf("%s: bound to %q, want %q (%v)", name, got.Pod, c.pod, err)
		}
	}
}

// Control planes of several clusters may have their CAs below one root. Whom another's has proved is of its cluster, also
// after this one has renewed his certificate.
func TestACertificateOfAnotherClusterIsForeign(t *testing.T) {
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in := func(cluster string) *auth.Authenticator {
		return auth.New(auth.Config{
			TrustDomain: "cluster.local", Roots: authority.Roots, Cluster: cluster, Tokens: []auth.TokenVerifier{tokens{"reviews": reviews, "details": details}},
		})
	}
	sign := func(by *auth.Authenticator, ctx context.Context) context.Context {
		t.Helper()
		proof, err := by.Prove(ctx)
		if err != nil {
			t.Fatal(err)
		}
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		csr, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		issued, err := authority.SignProven(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}), proof, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return call([]*x509.Certificate{issued.Leaf})
	}
	beside := func(cert context.Context, token string) context.Context {
		shown, _ := peer.FromContext(cert)
		return peer.NewContext(call(nil, "Bearer "+token), shown)
	}
	pod, none := call(nil, "Bearer reviews of reviews-1"), call(nil, "Bearer reviews")
	east, west, unnamed := in("east"), in("west"), in("")
	for name, c := range map[string]struct {
		at      *auth.Authenticator
		ctx     context.Context
		foreign bool
	}{
		"its own":                   {east, sign(east, pod), false},
		"another's":                 {east, sign(west, pod), true},
		"another's, of no pod":      {east, sign(west, none), true},
		"another's, renewed":        {east, sign(east, sign(west, pod)), true},
		"its own, renewed at both":  {east, sign(east, sign(west, sign(east, pod))), true},
		"another's, with a token":   {east, beside(sign(west, pod), "reviews of reviews-1"), false},
		"another's, with one of it": {east, beside(sign(west, pod), "foreign reviews of reviews-1"), true},
		"another's, with a bad one": {east, beside(sign(west, pod), "unknown"), true},
		"another's, with details'":  {east, beside(sign(west, pod), "details"), true},
		"one that names no cluster": {east, sign(unnamed, pod), false},
		"one that has no name":      {unnamed, sign(west, pod), false},
	} {
		if got, err := c.at.Authenticate(c.ctx); err != nil || got.Identity != reviews || got.Foreign != c.foreign {
			t.Errorf("%s: %+v, want foreign %v (%v)", name, got, c.foreign, err)
		}
	}
}
