package translate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// policyPKI makes certificates of a root for the server and for clients of any identity.
type policyPKI struct {
	key                         *ecdsa.PrivateKey
	cert                        *x509.Certificate
	root, serverCert, serverKey string
	serial                      int64
}

func newPolicyPKI(t *testing.T) *policyPKI {
	t.Helper()
	p := &policyPKI{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &p.key.PublicKey, p.key)
	if err != nil {
		t.Fatal(err)
	}
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	p.root = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	server := p.certificate(t, "cluster.local/ns/shop/sa/web")
	private, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	p.serverCert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate[0]}))
	p.serverKey = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return p
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (p *policyPKI) certificate(t *testing.T, identity string) tls.Certificate {
	t.Helper()
	id, err := url.Parse("spiffe://" + identity)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	p.serial++
	template := &x509.Certificate{SerialNumber: big.NewInt(1 + p.serial), NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{id}}
	der, err := x509.CreateCertificate(rand.Reader, template, p.cert, &key.PublicKey, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// client is how a client of an identity connects; it trusts any server.
func (p *policyPKI) client(t *testing.T, identity, name string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{p.certificate(t, identity)}, ServerName: name, InsecureSkipVerify: true}
}

// tokenKeys sign tokens, and others of the same name forge them.
type tokenKeys struct {
	good, forged jose.Signer
	set          string
}

func newTokenKeys(t *testing.T) *tokenKeys {
	t.Helper()
	signer := func() (jose.Signer, jose.JSONWebKey) {
		key := jose.JSONWebKey{Key: newKey(t), KeyID: "k", Algorithm: "ES256", Use: "sig"}
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s, key.Public()
	}
	good, public := signer()
	forged, _ := signer()
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	if err != nil {
		t.Fatal(err)
	}
	return &tokenKeys{good, forged, string(set)}
}

func (k *tokenKeys) sign(t *testing.T, claims map[string]any, forged bool) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signer := k.good
	if forged {
		signer = k.forged
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
