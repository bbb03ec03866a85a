// Package identitytest gives tests identities of workloads, as those have them: certificates of a CA, and tokens of
// service accounts.
package identitytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// Signed has a CA sign an identity of its trust domain, for an hour.
func Signed(t testing.TB, a *ca.Authority, namespace, account string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	id := auth.Identity{TrustDomain: a.TrustDomain(), Namespace: namespace, ServiceAccount: account}
	chain, err := a.SignWorkload(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}), id, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	// The last is the root, which no peer is shown.
	pair, err := tls.X509KeyPair([]byte(strings.Join(chain[:len(chain)-1], "")), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// Issuer is that of Token, Audience for whom it is.
const (
	Issuer   = "https://kubernetes.default.svc.cluster.local"
	Audience = "istio-ca"
)

// Token gives the token of a service account, which is good for an hour, and the file of keys that proves it.
func Token(t testing.TB, namespace, account string) (text, jwks string) {
	t.Helper()
	key := newKey(t)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: string(jose.ES256), Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		t.Fatal(err)
	}
	text, err = jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: Issuer, Subject: "system:serviceaccount:" + namespace + ":" + account, Audience: jwt.Audience{Audience},
		IssuedAt: jwt.NewNumericDate(time.Now()), Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	jwks = filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(jwks, set, 0o600); err != nil {
		t.Fatal(err)
	}
	return text, jwks
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
