package auth

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const oneKey = `{"keys": [
  {"kty": "OKP", "crv": "Ed448", "kid": "unknown", "x": "AAAA"},
  {"kty": "of tomorrow", "kid": "later"},
  {"kty": "EC", "crv": "P-256", "kid": "known", "use": "sig", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`

func TestKeysThatNobodyKnowsAreLeftOut(t *testing.T) {
	keys, err := parseKeys([]byte(oneKey))
	if err != nil || len(keys) != 1 || keys[0].KeyID != "known" {
		t.Errorf("got %v, %v", keys, err)
	}
}

func TestFetcher(t *testing.T) {
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	defer s.Close()
	text := func(path, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
	}
	text("/.well-known/openid-configuration", `{"issuer": "`+s.URL+`", "jwks_uri": "`+s.URL+`/keys"}`)
	text("/another/.well-known/openid-configuration", `{"issuer": "`+s.URL+`", "jwks_uri": "`+s.URL+`/keys"}`)
	text("/open/.well-known/openid-configuration", `{"issuer": "`+s.URL+`/open", "jwks_uri": "http://elsewhere.test/keys"}`)
	text("/keys", oneKey)
	text("/none", `{"keys": []}`)
	text("/large", `{"keys": [`+strings.Repeat(" ", maxDocument)+`]}`)
	mux.Handle("/moved", http.RedirectHandler(s.URL+"/keys", http.StatusFound))
	f := NewFetcher(nil)
	ctx := context.Background()
	uri, err := f.KeysURI(ctx, s.URL)
	if err != nil || uri != s.URL+"/keys" {
		t.Fatalf("got %q, %v", uri, err)
	}
	if data, err := f.Keys(ctx, uri); err != nil || string(data) != oneKey {
		t.Errorf("got %q, %v", data, err)
	}
	for _, issuer := range []string{s.URL + "/another", s.URL + "/open", "http://elsewhere.test", ""} {
		if uri, err := f.KeysURI(ctx, issuer); err == nil {
			t.Errorf("the keys of %q are at %q", issuer, uri)
		}
	}
	for _, path := range []string{"/none", "/large", "/moved", "/absent"} {
		if data, err := f.Keys(ctx, s.URL+path); err == nil {
			t.Errorf("%s gives %q", path, data)
		}
	}
	if _, err := f.address("http://elsewhere.test/keys"); err == nil {
		t.Error("another machine is asked in the clear")
	}
	f.Plaintext = true
	if _, err := f.address("http://elsewhere.test/keys"); err != nil {
		t.Error(err)
	}
}
