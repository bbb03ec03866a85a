package resource

import (
	"fmt"
	"strings"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// A private resource is sent with its key and decoded without it, and equal ones are not shared.
func TestPrivateResourcesShowNoKey(t *testing.T) {
	const key = "the private key"
	secret := func() *Resource {
		r, err := New(Secrets, "kubernetes://a", &tlsv3.Secret{Name: "kubernetes://a", Type: &tlsv3.Secret_TlsCertificate{
			TlsCertificate: &tlsv3.TlsCertificate{PrivateKey: &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: []byte(key)}}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r, p := secret(), NewPool()
	if !strings.Contains(string(r.Frame(true)), key) || !strings.Contains(string(r.Frame(false)), key) {
		t.Error("the key is not sent")
	}
	m, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(m, r.Any()); strings.Contains(text, key) || !strings.Contains(text, redactedText) {
		t.Errorf("decoded as %s", text)
	}
	one, other := p.One(r), p.One(secret())
	if one == other {
		t.Error("equal private resources are one")
	}
	a := p.Cover(Secrets, p.Empty(), []Entry{{"kubernetes://a", one}})
	if b := p.Cover(Secrets, p.Empty(), []Entry{{"kubernetes://a", other}}); a == b || !a.Same(b) {
		t.Error("equal private sets are one, or not equal")
	}
}
