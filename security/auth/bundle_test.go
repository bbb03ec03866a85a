package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// inBundle gives an entry of a bundle for a new self-signed certificate, that of a CA or not.
func inBundle(t *testing.T, isCA bool) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: isCA}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(jose.JSONWebKey{Key: &key.PublicKey})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(text), "}") + `,"use":"x509-svid","x5c":["` + base64.StdEncoding.EncodeToString(der) + `"]}`
}

// Bundles come by https from where they were asked for, are bounded, and give roots of CAs only.
func TestBundles(t *testing.T) {
	one, two := inBundle(t, true), inBundle(t, true)
	tokens := strings.TrimSuffix(publicKey, "}") + `,"use":"jwt-svid"}`
	long := strings.TrimSuffix(strings.Repeat(one+",", 100), ",")
	mux := http.NewServeMux()
	for path, body := range map[string]string{
		"/two":     `{"spiffe_sequence":3,"spiffe_refresh_hint":600,"keys":[` + one + `,` + tokens + `,` + two + `]}`,
		"/turned":  `{"keys":[` + two + `,` + one + `]}`,
		"/back":    `{"keys":[]}`,
		"/nothing": `{}`,
		"/none":    `{"keys":[` + inBundle(t, false) + `]}`,
		"/text":    `<html>`,
		"/large":   `{"keys":[` + strings.Repeat(" ", maxDocument) + `]}`,
		"/empty":   `{"keys":[{"kty":"EC","use":"x509-svid"}]}`,
		"/often":   `{"keys":[` + long + `]}`,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
	}
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/two", http.StatusFound) })
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	k := KeySets{Client: client}
	got, err := k.Bundle(t.Context(), server.URL+"/two")
	if err != nil || len(got.Roots) != 2 || got.Roots[0] == got.Roots[1] || got.Refresh != 10*time.Minute || got.Sequence == nil || *got.Sequence != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	if turned, err := k.Bundle(t.Context(), server.URL+"/turned"); err != nil || !slices.Equal(turned.Roots, got.Roots) || turned.Sequence != nil {
		t.Errorf("in another order: %+v, %v", turned, err)
	}
	for _, root := range got.Roots {
		if !x509.NewCertPool().AppendCertsFromPEM([]byte(root)) {
			t.Errorf("%q is no root", root)
		}
	}
	if got, err := k.Bundle(t.Context(), server.URL+"/back"); err != nil || len(got.Roots) != 0 || got.Refresh != 0 {
		t.Errorf("all taken back: %+v, %v", got, err)
	}
	for path, want := range map[string]string{
		"/nothing": "no authorities", "/none": "certificate of no CA", "/text": "parse", "/large": "larger than", "/empty": "", "/moved": "302", "/absent": "404",
	} {
		if got, err := k.Bundle(t.Context(), server.URL+path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
	}
	// The same root again and again is one.
	if got, err := k.Bundle(t.Context(), server.URL+"/often"); err != nil || len(got.Roots) != 1 {
		t.Errorf("%d roots, %v", len(got.Roots), err)
	}
	if _, err := k.Bundle(t.Context(), strings.Replace(server.URL, "https:", "http:", 1)+"/two"); err == nil || !strings.Contains(err.Error(), "not an https URL") {
		t.Errorf("without https: %v", err)
	}
	if _, err := (KeySets{Client: &http.Client{}}).Bundle(t.Context(), server.URL+"/two"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("from a server that the machine does not know: %v", err)
	}
}

func FuzzBundle(f *testing.F) {
	f.Add([]byte(`{"keys":[{"use":"x509-svid","kty":"EC","x5c":["AA=="]}],"spiffe_refresh_hint":9223372036854775807}`))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseBundle(data) })
}
