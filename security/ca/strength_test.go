package ca_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	_ "crypto/md5" // by name
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	if bits < 1024 {
		t.Fatal("the library makes none")
	}
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// weaklySigned gives a request as openssl makes one with -md5 or -sha1.
func weaklySigned(t *testing.T, key *rsa.PrivateKey, hash crypto.Hash, algorithm asn1.ObjectIdentifier) []byte {
	t.Helper()
	block, _ := pem.Decode(request(t, key, &x509.CertificateRequest{}))
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	digest := hash.New()
	digest.Write(csr.RawTBSCertificateRequest)
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, hash, digest.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{
		asn1.RawValue{FullBytes: csr.RawTBSCertificateRequest},
		pkix.AlgorithmIdentifier{Algorithm: algorithm, Parameters: asn1.NullRawValue},
		asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// A weak key or signature is refused, and the reason says which.
func TestWeakRequestsAreRefusedWithTheReason(t *testing.T) {
	a := authority(t, ca.Options{})
	rsa2048 := rsaKey(t, 2048)
	for name, c := range map[string]struct {
		csr  []byte
		says string
	}{
		"P-224":          {request(t, ecKey(t, elliptic.P224()), &x509.CertificateRequest{}), "P-224"},
		"P-521":          {request(t, ecKey(t, elliptic.P521()), &x509.CertificateRequest{}), "P-521"},
		"RSA 1024":       {request(t, rsaKey(t, 1024), &x509.CertificateRequest{}), "1024 bits"},
		"RSA 2047":       {request(t, rsaKey(t, 2047), &x509.CertificateRequest{}), "2047 bits"},
		"signed by MD5":  {weaklySigned(t, rsa2048, crypto.MD5, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 4}), "MD5"},
		"signed by SHA1": {weaklySigned(t, rsa2048, crypto.SHA1, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}), "SHA1"},
		"signed by none": {weaklySigned(t, rsa2048, crypto.SHA1, asn1.ObjectIdentifier{1, 2, 3}), "no known algorithm"},
	} {
		_, err := a.SignWorkload(c.csr, reviews, 0)
		if !errors.Is(err, ca.ErrRequest) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want a reason with %q", name, err, c.says)
		}
	}
}

// plugKeys writes a CA of these keys, whose certificate edit changes before the root signs it.
func plugKeys(t *testing.T, rootKey, key crypto.Signer, edit func(*x509.Certificate), block func(crypto.Signer) *pem.Block) string {
	t.Helper()
	template := func(cn string, serial int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: cn},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	rootT, subT := template("root", 1), template("sub", 2)
	edit(subT)
	root, err := x509.CreateCertificate(rand.Reader, rootT, rootT, rootKey.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := x509.CreateCertificate(rand.Reader, subT, rootT, key.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }
	for name, data := range map[string][]byte{"ca-cert.pem": cert(sub), "root-cert.pem": cert(root), "ca-key.pem": pem.EncodeToMemory(block(key))} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// signedBy has a certificate signed by an algorithm, 0 for the usual one.
func signedBy(algorithm x509.SignatureAlgorithm) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.SignatureAlgorithm = algorithm }
}

func sec1(key crypto.Signer) *pem.Block {
	der, _ := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	return &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}
}

func pkcs8(key crypto.Signer) *pem.Block {
	der, _ := x509.MarshalPKCS8PrivateKey(key)
	return &pem.Block{Type: "PRIVATE KEY", Bytes: der}
}

// A company's CA may have a key of any usual kind, in each form that openssl writes; it signs for all kinds of
// workloads' keys.
func TestKindsOfCA(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa2048 := rsaKey(t, 2048)
	workloads := map[string][]byte{
		"ECDSA": request(t, p256(t), &x509.CertificateRequest{}), "RSA": request(t, rsaKey(t, 2048), &x509.CertificateRequest{}),
	}
	for name, c := range map[string]struct {
		key  crypto.Signer
		form func(crypto.Signer) *pem.Block
	}{
		"RSA 2048": {rsa2048, pkcs8},
		"RSA 2048, PKCS #1": {rsa2048, func(k crypto.Signer) *pem.Block {
			return &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k.(*rsa.PrivateKey))}
		}},
		"P-256, SEC 1": {p256(t), sec1},
		"P-384":        {ecKey(t, elliptic.P384()), pkcs8}, "P-521": {ecKey(t, elliptic.P521()), pkcs8}, "Ed25519": {ed, pkcs8},
	} {
		a, err := ca.New(ca.Options{Dir: plugKeys(t, rsa2048, c.key, signedBy(0), c.form)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for kind, csr := range workloads {
			chain, err := a.SignWorkload(csr, reviews, 0)
			if err != nil {
				t.Errorf("%s for %s: %v", name, kind, err)
				continue
			}
			between := x509.NewCertPool()
			between.AddCert(parse(t, chain[1]))
			_, err = parse(t, chain[0]).Verify(x509.VerifyOptions{Roots: a.Roots(), Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
			if err != nil {
				t.Errorf("%s for %s: %v", name, kind, err)
			}
		}
	}
}

// A CA that anyone could forge is refused, and the reason says where it is weak.
func TestWeakCAsAreRefusedWithTheReason(t *testing.T) {
	strong, weak := rsaKey(t, 2048), rsaKey(t, 1024)
	for name, c := range map[string]struct {
		root, key crypto.Signer
		algorithm x509.SignatureAlgorithm
		says      string
	}{
		"an RSA key of 1024 bits":   {strong, weak, 0, "1024 bits"},
		"a key of P-224":            {strong, ecKey(t, elliptic.P224()), 0, "P-224"},
		"a root of 1024 bits":       {weak, strong, 0, `"CN=root": RSA key has 1024 bits`},
		"a root of P-224":           {ecKey(t, elliptic.P224()), strong, 0, `"CN=root": curve P-224`},
		"a certificate signed SHA1": {strong, p256(t), x509.SHA1WithRSA, "SHA1"},
	} {
		_, err := ca.New(ca.Options{Dir: plugKeys(t, c.root, c.key, signedBy(c.algorithm), pkcs8)})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want a reason with %q", name, err, c.says)
		}
	}
}
