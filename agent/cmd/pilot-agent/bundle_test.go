package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/identitytest"
)

// bundle gives the SPIFFE bundle of far.example with the roots of some CAs, which wishes to be fetched each second.
func bundle(t *testing.T, number uint64, of ...*ca.Authority) []byte {
	t.Helper()
	b := spiffebundle.New(spiffeid.RequireTrustDomainFromString("far.example"))
	b.SetSequenceNumber(number)
	b.SetRefreshHint(time.Second)
	for _, a := range of {
		block, _ := pem.Decode(a.RootPEM())
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		b.AddX509Authority(root)
	}
	data, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A caller of another trust domain is taken by the roots in the bundle that the domain serves, as long as they are
// there, and never by those of the mesh.
func TestCallersByAFetchedBundle(t *testing.T) {
	if !envoytest.Apart(t, "SSL_CERT_FILE="+filepath.Join(t.TempDir(), "roots.pem"), "SSL_CERT_DIR=/nowhere") {
		return
	}
	web := newCA(t, "far.example") // proves the bundle's server, as one of the machine's roots
	if err := os.WriteFile(os.Getenv("SSL_CERT_FILE"), web.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	former, next := newCA(t, "far.example"), newCA(t, "far.example")
	var served atomic.Pointer[[]byte]
	publish := func(data []byte) { served.Store(&data) }
	publish(bundle(t, 1, former))
	serveHTTP(t, "10.9.0.1:8443", &tls.Config{GetCertificate: web.ServerCertificate([]string{"10.9.0.1"})}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(*served.Load()) // the control plane may have ended
	})
	p := newPod(t, map[string]any{
		"trustDomainAliases": []string{"far.example"},
		"caCertificates":     []any{map[string]any{"spiffeBundleUrl": "https://10.9.0.1:8443/", "trustDomains": []string{"far.example"}}},
	})
	p.run()
	ours := identitytest.Signed(t, p.own, "default", "client")
	byFormer, byNext := identitytest.Signed(t, former, "default", "client"), identitytest.Signed(t, next, "default", "client")
	expect := func(step string, last tls.Certificate, lastTaken bool, other tls.Certificate) {
		t.Helper()
		p.taken(step, last, lastTaken)
		if _, err := p.call(other); err == nil {
			t.Errorf("%s: the other is taken", step)
		}
		if _, err := p.call(ours); err != nil {
			t.Errorf("%s: ours: %v", step, err)
		}
	}
	expect("the bundle's root counts", byFormer, true, byNext)
	publish(bundle(t, 2, former, next))
	p.taken("so does a second one", byNext, true)
	publish(bundle(t, 3, next))
	expect("the former is dropped", byFormer, false, byFormer)
	p.taken("the next one stays", byNext, true)
	publish([]byte(`{"spiffe_sequence":4,"keys":[]}`))
	expect("all are taken back", byNext, false, byFormer)
}
