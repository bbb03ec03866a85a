package sds_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// signerOf gives the key and the root of the CA of a directory.
func signerOf(t *testing.T, dir string) (crypto.Signer, *x509.Certificate) {
	t.Helper()
	der := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(data)
		return block.Bytes
	}
	key, err := x509.ParsePKCS8PrivateKey(der("ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der("root-cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer), root
}

// revocationList gives what the CA of a directory revokes.
func revocationList(t *testing.T, dir string, serials ...*big.Int) []byte {
	t.Helper()
	key, root := signerOf(t, dir)
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, n := range serials {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: n, RevocationTime: time.Now()})
	}
	list, err := x509.CreateRevocationList(rand.Reader, template, root, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list})
}

// A real Envoy refuses a caller once the mesh's CA has revoked its certificate, and takes it again when the list
// is empty. The list comes by a file, as a mounted ConfigMap has it.
func TestEnvoyHeedsWhatTheCAHasRevoked(t *testing.T) {
	dir, crl := t.TempDir(), filepath.Join(t.TempDir(), "ca-crl.pem")
	authority, address, rootFile := serveCA(t, ca.Options{Dir: dir})
	manager, port := envoyOf(t, address, rootFile, crl)
	taken := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := call(ctx, port, manager, authority)
		return err == nil
	}
	put := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(crl+".new", text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(crl+".new", crl); err != nil {
			t.Fatal(err)
		}
	}
	envoytest.Eventually(t, "taken without a list", taken)
	own := manager.WorkloadCertificate()
	pair, err := tls.X509KeyPair(own.CertificateChain, own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	put(revocationList(t, dir, pair.Leaf.SerialNumber))
	envoytest.Eventually(t, "refused when it is revoked", func() bool { return !taken() })
	put([]byte("no list at all")) // a slip, which changes nothing
	put(revocationList(t, dir, big.NewInt(1)))
	envoytest.Eventually(t, "taken when another is revoked", taken)
	put(revocationList(t, dir, pair.Leaf.SerialNumber))
	envoytest.Eventually(t, "refused again", func() bool { return !taken() })
	put(nil)
	envoytest.Eventually(t, "taken when the list is empty", taken)
}
