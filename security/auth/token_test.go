package auth

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const testIssuer = "https://kubernetes.default.svc.cluster.local"

type signingKey struct {
	id  string
	key *ecdsa.PrivateKey
}

func newSigningKey(t testing.TB, id string) signingKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signingKey{id, key}
}

func jwks(t testing.TB, keys ...signingKey) []byte {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.key.Public(), KeyID: k.id, Algorithm: "ES256", Use: "sig"})
	}
	data, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (k signingKey) sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	opts := (&jose.SignerOptions{}).WithHeader("kid", k.id)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: k.key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

var testNow = time.Unix(1_800_000_000, 0)

func goodClaims() map[string]any {
	return map[string]any{
		"iss": testIssuer, "aud": []string{"istio-ca"}, "sub": "system:serviceaccount:default:reviews",
		"exp": testNow.Add(time.Hour).Unix(), "nbf": testNow.Add(-time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": "default", "serviceaccount": map[string]any{"name": "reviews"}},
	}
}

func fileTokens(t testing.TB, keys ...signingKey) (*Tokens, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, jwks(t, keys...), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := NewTokens(TokenConfig{
		JWKSFile: path, Issuer: testIssuer, TrustDomain: "cluster.local",
		Clock: func() time.Time { return testNow }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return v, path
}

func TestTokenClaims(t *testing.T) {
	key, stranger := newSigningKey(t, "k1"), newSigningKey(t, "k1")
	v, _ := fileTokens(t, key)
	set := func(name string, value any) func(map[string]any) {
		return func(c map[string]any) { c[name] = value }
	}
	unset := func(name string) func(map[string]any) { return func(c map[string]any) { delete(c, name) } }
	for name, c := range map[string]struct {
		edit func(map[string]any)
		ok   bool
		pod  string
	}{
		"good":             {func(map[string]any) {}, true, ""},
		"no kubernetes.io": {unset("kubernetes.io"), true, ""},
		"a little expired": {set("exp", testNow.Add(-5*time.Second).Unix()), true, ""},
		"expired":          {set("exp", testNow.Add(-time.Minute).Unix()), false, ""},
		"no expiry":        {unset("exp"), false, ""},
		"not yet":          {set("nbf", testNow.Add(time.Minute).Unix()), false, ""},
		"audience":         {set("aud", []string{"vault"}), false, ""},
		"no audience":      {unset("aud"), false, ""},
		"issuer":           {set("iss", "https://elsewhere"), false, ""},
		"no issuer":        {unset("iss"), false, ""},
		"user":             {set("sub", "alice"), false, ""},
		"sub parts":        {set("sub", "system:serviceaccount:default:reviews:x"), false, ""},
		"sub slash":        {set("sub", "system:serviceaccount:default/sa/admin:reviews"), false, ""},
		"disagree": {set("kubernetes.io", map[string]any{
			"namespace": "kube-system", "serviceaccount": map[string]any{"name": "reviews"},
		}), false, ""},
		"bound to a pod": {set("kubernetes.io", map[string]any{
			"namespace": "default", "serviceaccount": map[string]any{"name": "reviews"}, "pod": map[string]any{"name": "reviews-v1-0"},
		}), true, "reviews-v1-0"},
		"bound to what is no pod": {set("kubernetes.io", map[string]any{
			"namespace": "default", "serviceaccount": map[string]any{"name": "reviews"}, "pod": map[string]any{"name": "../a"},
		}), false, ""},
	} {
		claims := goodClaims()
		c.edit(claims)
		id, err := v.Verify(context.Background(), key.sign(t, claims))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && id.String() != "spiffe://cluster.local/ns/default/sa/reviews" {
			t.Errorf("%s: %s", name, id)
		}
		if err == nil && id.Pod != c.pod {
			t.Errorf("%s: bound to %q", name, id.Pod)
		}
	}
	if _, err := v.Verify(context.Background(), stranger.sign(t, goodClaims())); err == nil {
		t.Error("a stranger's signature is accepted")
	}
}

// The header must not choose how a token is verified: neither "none" nor a MAC made with the
// public key as its secret.
func TestTokenAlgorithms(t *testing.T) {
	key := newSigningKey(t, "k1")
	v, path := fileTokens(t, key)
	public, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: public}, nil)
	if err != nil {
		t.Fatal(err)
	}
	mac, err := jwt.Signed(signer).Claims(goodClaims()).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Split(key.sign(t, goodClaims()), ".")[1]
	for _, token := range []string{mac, "eyJhbGciOiJub25lIn0." + body + ".", strings.Repeat("a", maxToken+1)} {
		_, err := v.Verify(context.Background(), token)
		if err == nil {
			t.Errorf("accepted %.40s", token)
		} else if strings.Contains(err.Error(), body[:20]) {
			t.Errorf("the error holds the token: %v", err)
		}
	}
}

func TestKeyFileIsReread(t *testing.T) {
	k1, k2 := newSigningKey(t, "k1"), newSigningKey(t, "k2")
	v, path := fileTokens(t, k1)
	accepts := func(k signingKey) bool {
		_, err := v.Verify(context.Background(), k.sign(t, goodClaims()))
		return err == nil
	}
	replace := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(path+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	if !accepts(k1) || accepts(k2) {
		t.Fatal("first keys")
	}
	replace(jwks(t, k2))
	if accepts(k1) || !accepts(k2) {
		t.Error("the changed file is not read")
	}
	replace([]byte(`{"keys":[`))
	if !accepts(k2) {
		t.Error("a broken file locks everybody out")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if !accepts(k2) {
		t.Error("a missing file locks everybody out")
	}
	replace(jwks(t, k1))
	if !accepts(k1) || accepts(k2) {
		t.Error("the mended file is not read")
	}
}

func TestOIDC(t *testing.T) {
	k1, k2 := newSigningKey(t, "k1"), newSigningKey(t, "k2")
	var served atomic.Pointer[[]byte]
	set := jwks(t, k1)
	served.Store(&set)
	var fetches atomic.Int32
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	defer srv.Close()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, srv.URL, srv.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		if data := *served.Load(); data != nil {
			_, _ = w.Write(data)
		} else {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	now := testNow
	v, err := NewTokens(TokenConfig{
		Issuer: srv.URL, TrustDomain: "cluster.local", HTTP: srv.Client(),
		Clock: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	accepts := func(k signingKey) bool {
		c := goodClaims()
		c["iss"], c["exp"] = srv.URL, now.Add(time.Hour).Unix()
		_, err := v.Verify(context.Background(), k.sign(t, c))
		return err == nil
	}
	first, second := accepts(k1), accepts(k1)
	if !first || !second || fetches.Load() != 1 {
		t.Fatalf("%d fetches", fetches.Load())
	}
	if accepts(k2) || fetches.Load() != 1 {
		t.Errorf("an unknown key makes a fetch at once: %d", fetches.Load())
	}
	set2 := jwks(t, k1, k2)
	served.Store(&set2)
	now = now.Add(refetchAfter)
	if !accepts(k2) || fetches.Load() != 2 {
		t.Errorf("a new key is not found: %d fetches", fetches.Load())
	}
	var down []byte
	served.Store(&down)
	now = now.Add(keysFor + time.Minute)
	if !accepts(k1) {
		t.Error("an issuer that is down locks everybody out")
	}
}

func TestOIDCIssuerMustBeSecure(t *testing.T) {
	for _, issuer := range []string{"http://example.com", "kubernetes", "ftp://example.com", "https://"} {
		if _, err := NewTokens(TokenConfig{Issuer: issuer}); err == nil {
			t.Errorf("%q accepted", issuer)
		}
	}
	if _, err := NewTokens(TokenConfig{}); err == nil {
		t.Error("no keys at all accepted")
	}
	if _, err := NewTokens(TokenConfig{JWKSFile: "/nowhere.json"}); err == nil {
		t.Error("missing file accepted")
	}
}

func FuzzToken(f *testing.F) {
	key := newSigningKey(f, "k1")
	v, _ := fileTokens(f, key)
	good := key.sign(f, goodClaims())
	f.Add(good)
	f.Add("a.b.c")
	f.Add(`{"payload":"","signatures":[]}`)
	f.Fuzz(func(t *testing.T, token string) {
		id, err := v.Verify(context.Background(), token)
		// The signature's encoding has spare bits, so that a changed token may be the same one.
		if err == nil && !bytes.HasPrefix([]byte(token), []byte(good[:strings.LastIndexByte(good, '.')])) {
			t.Errorf("%q proves %v", token, id)
		}
	})
}

// Neither a redirect nor the discovery document makes the control plane ask a machine that the
// operator did not name by https, and no answer is read to its end whatever its size.
func TestOIDCIsLedNowhereElse(t *testing.T) {
	var asked atomic.Int32
	victim := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(jwks(t, newSigningKey(t, "k1")))
	}))
	defer victim.Close()
	for name, document := range map[string]func(w http.ResponseWriter, r *http.Request, self string){
		"redirect": func(w http.ResponseWriter, r *http.Request, _ string) {
			http.Redirect(w, r, victim.URL, http.StatusFound)
		},
		"keys in plain text": func(w http.ResponseWriter, _ *http.Request, self string) {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"http://metadata.internal/keys"}`, self)
		},
		"keys in a file": func(w http.ResponseWriter, _ *http.Request, self string) {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"file:///etc/passwd"}`, self)
		},
		"another issuer": func(w http.ResponseWriter, _ *http.Request, _ string) {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%[1]q}`, victim.URL)
		},
		"too large": func(w http.ResponseWriter, _ *http.Request, self string) {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q,"x":%q}`, self, victim.URL, strings.Repeat("x", maxDocument))
		},
	} {
		var self string
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { document(w, r, self) }))
		self = srv.URL
		v, err := NewTokens(TokenConfig{Issuer: self, TrustDomain: "cluster.local", HTTP: srv.Client(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), newSigningKey(t, "k1").sign(t, goodClaims())); err == nil {
			t.Errorf("%s: a token is accepted", name)
		}
		srv.Close()
	}
	if asked.Load() != 0 {
		t.Errorf("another machine was asked %d times", asked.Load())
	}
}
