package auth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const publicKey = `{"kty":"EC","crv":"P-256","kid":"a","x":"tN7k19WXA7HwwS-iALEpqEATS8n2T9PJSmnGM5G-4Sc","y":"B_GdbHJ5CgdvKxlGu9KuD-KdfD7rwi8KKdRhNrJC0JU"}`

// Key sets that are fetched hold public signature keys only, are bounded, and come from where they were
// asked for.
func TestKeySets(t *testing.T) {
	var self string
	mux := http.NewServeMux()
	answer := func(path, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.ReplaceAll(body, "SELF", self)) })
	}
	answer("/keys", `{"keys":[`+publicKey+`,{"kty":"oct","k":"c2VjcmV0"}]}`)
	answer("/none", `{"keys":[]}`)
	answer("/large", `{"keys":[`+strings.Repeat(" ", maxDocument)+`]}`)
	answer("/.well-known/openid-configuration", `{"issuer":"SELF","jwks_uri":"SELF/keys"}`)
	answer("/other/.well-known/openid-configuration", `{"issuer":"SELF","jwks_uri":"SELF/keys"}`)
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/keys", http.StatusFound) })
	server := httptest.NewServer(mux)
	defer server.Close()
	self = server.URL
	k := KeySets{Client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	for _, ask := range []func() (string, error){
		func() (string, error) { return k.At(t.Context(), self+"/keys") },
		func() (string, error) { return k.Of(t.Context(), self) },
	} {
		got, err := ask()
		if err != nil || !strings.Contains(got, `"kid":"a"`) || strings.Contains(got, "oct") {
			t.Errorf("%s %v", got, err)
		}
	}
	for _, path := range []string{"/none", "/large", "/moved", "/nowhere"} {
		if got, err := k.At(t.Context(), self+path); err == nil {
			t.Errorf("%s: %s", path, got)
		}
	}
	if _, err := k.Of(t.Context(), self+"/other"); err == nil {
		t.Error("the keys of another issuer are taken")
	}
	if _, err := k.At(t.Context(), "file:///etc/passwd"); err == nil {
		t.Error("a file is read")
	}
}
