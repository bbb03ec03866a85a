package mesh

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// secure tells whether a server of a gateway speaks TLS: all ports but the first do.
func (g Gateways) secure(server int) bool { return g.TLS && server%gatewayPorts != 0 }

func credential(server int) string { return fmt.Sprintf("cert-%d", server) }

// Secret gives the Secret of a gateway's first server of TLS another certificate, and gives the name
// under which proxies ask for it.
func (m *Mesh) Secret(g int) (e Edit, resource string) {
	const server = 1
	e = m.edit(GatewayNamespace(g)+"-secret", func(b *bytes.Buffer, _ string, generation int) {
		m.renderSecret(b, g, server, generation)
	})
	return e, "kubernetes://" + credential(server)
}

func (m *Mesh) renderSecret(b *bytes.Buffer, g, server, generation int) {
	cert, key := m.certificate(g, server, generation)
	document(b, "apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\ntype: kubernetes.io/tls\ndata: {tls.crt: %s, tls.key: %s}",
		credential(server), GatewayNamespace(g), base64.StdEncoding.EncodeToString(cert), base64.StdEncoding.EncodeToString(key))
}

// certificate makes a pair for a server's host, in PEM. The key follows from the seed and the names,
// and the signature from both (RFC 6979), so that the same Spec gives the same bytes.
func (m *Mesh) certificate(g, server, generation int) (certPEM, keyPEM []byte) {
	seed := sha256.Sum256(fmt.Appendf(nil, "%d/%d/%d/%d", m.spec.Seed, g, server, generation))
	seed[0] = 0 // below the order of the group
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		panic(err) // one in 2^248 seeds is zero
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(1 + generation)), Subject: pkix.Name{CommonName: gatewayHost(g, server)}, DNSNames: []string{gatewayHost(g, server)},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2126, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		panic(err) // the template is always the same but for names
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err) // P-256 is always marshalled
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}
