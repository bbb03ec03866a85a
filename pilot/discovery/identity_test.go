package discovery

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/pilothouse-mesh/pilothouse/pilot/debug"
	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// tokens makes the key of a cluster's service accounts, and tokens by it.
func tokens(t *testing.T, dir string) func(namespace string) http.Header {
	t.Helper()
	return tokensOf(t, dir, "https://issuer.example.org")
}

// tokensOf gives such tokens of an issuer.
func tokensOf(t *testing.T, dir, issuer string) func(namespace string) http.Header {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "jwks.json", string(public))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(namespace string) http.Header {
		token, err := jwt.Signed(signer).Claims(jwt.Claims{
			Issuer: issuer, Audience: jwt.Audience{"istio-ca"}, Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour)),
			Subject: "system:serviceaccount:" + namespace + ":someone", IssuedAt: jwt.NewNumericDate(time.Now()),
		}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return http.Header{"Authorization": {"Bearer " + token}}
	}
}

// certificate gives what a client that the CA has signed shows.
func certificate(t *testing.T, authority *ca.Authority, namespace string) *tls.ConnectionState {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	id := auth.Identity{TrustDomain: "cluster.local", Namespace: namespace, ServiceAccount: "someone"}
	chain, err := authority.SignWorkload(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}), id, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(chain[0]))
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{parsed}}
}

func TestDebugPagesTakeTheProofsOfGRPC(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n")
	cfg := testConfig(t, dir)
	keys := t.TempDir()
	token := tokens(t, keys)
	cfg.TokenJWKS, cfg.CADir = filepath.Join(keys, "jwks.json"), t.TempDir()
	p := newPlane(cfg)
	pages := debug.New(p.debugOptions()).Monitoring()
	ask := func(header http.Header, state *tls.ConnectionState, path string) int {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header, r.TLS, r.RemoteAddr = header, state, "192.0.2.1:1"
		w := httptest.NewRecorder()
		pages.ServeHTTP(w, r)
		return w.Code
	}
	if got := ask(token("istio-system"), nil, "/debug/syncz"); got != http.StatusUnauthorized {
		t.Errorf("before anyone can be known: %d", got)
	}
	serve(t, p.run)
	envoytest.Eventually(t, "serving", p.serving.Load)
	ours, err := ca.New(ca.Options{Dir: cfg.CADir, TrustDomain: "cluster.local"})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := ca.New(ca.Options{TrustDomain: "cluster.local"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		header http.Header
		state  *tls.ConnectionState
		path   string
		want   int
	}{
		"nothing":                           {nil, nil, "/debug/syncz", 401},
		"a token that nobody signed":        {http.Header{"Authorization": {"Bearer x.y.z"}}, nil, "/debug/syncz", 401},
		"a token of the root namespace":     {token("istio-system"), nil, "/debug/syncz", 200},
		"a token of another namespace":      {token("default"), nil, "/debug/syncz", 403},
		"a token for its own proxy":         {token("default"), nil, "/debug/config_dump?proxyID=a.default", 404},
		"a token for another's proxy":       {token("default"), nil, "/debug/config_dump?proxyID=a.shop", 403},
		"a certificate":                     {nil, certificate(t, ours, "istio-system"), "/debug/pprof/cmdline", 200},
		"a certificate of another":          {nil, certificate(t, ours, "default"), "/debug/pprof/cmdline", 403},
		"a certificate of another's CA":     {nil, certificate(t, theirs, "istio-system"), "/debug/syncz", 401},
		"two tokens, of which one is valid": {http.Header{"Authorization": append(token("istio-system")["Authorization"], "Bearer x")}, nil, "/debug/syncz", 401},
	} {
		if got := ask(c.header, c.state, c.path); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
