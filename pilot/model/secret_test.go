package model

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// A Secret is read in both of its forms, and never printed.
func TestSecret(t *testing.T) {
	bytes := func(s string) []byte { return []byte(s) }
	for _, c := range []struct {
		in   corev1.Secret
		want Secret
	}{
		{
			corev1.Secret{Data: map[string][]byte{"tls.crt": bytes("c"), "tls.key": bytes("k"), "ca.crt": bytes("a"), "ca.crl": bytes("r"), "tls.ocsp-staple": bytes("o")}},
			Secret{Certificate: bytes("c"), Key: bytes("k"), Authorities: bytes("a"), CRL: bytes("r"), OCSPStaple: bytes("o")},
		},
		{
			corev1.Secret{Data: map[string][]byte{"cert": bytes("c"), "key": bytes("k"), "cacert": bytes("a"), "crl": bytes("r"), "tls.crt": bytes("x"), "ca.crt": bytes("y")}},
			Secret{Certificate: bytes("c"), Key: bytes("k"), Authorities: bytes("a"), CRL: bytes("r")},
		},
		{
			corev1.Secret{Data: map[string][]byte{"tls.crt": bytes("c"), "tls.key": bytes("old")}, StringData: map[string]string{"tls.key": "k"}},
			Secret{Certificate: bytes("c"), Key: bytes("k")},
		},
		{corev1.Secret{Data: map[string][]byte{"password": bytes("p")}}, Secret{}},
	} {
		if got := NewSecret(&c.in); !got.Same(&c.want) {
			t.Errorf("%v is read as %q %q %q %q %q", c.in.Data, got.Certificate, got.Key, got.Authorities, got.CRL, got.OCSPStaple)
		}
	}
	s := &Secret{Key: bytes("topsecret")}
	var b strings.Builder
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "s", s)
	fmt.Fprintf(&b, "%v %+v %#v %s %x %s %v", s, s, s, s, s, text, Object{Spec: s})
	if shown := b.String(); strings.Contains(shown, "topsecret") || strings.Contains(shown, fmt.Sprintf("%x", "topsecret")) || strings.Contains(shown, fmt.Sprint(s.Key)) {
		t.Errorf("printed as %s", shown)
	}
}
