package ca

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
)

// ErrRequest is wrapped by every error that is the caller's fault.
var ErrRequest = errors.New("certificate request refused")

// maxCSR bounds a request in bytes; one with an 8192-bit RSA key takes about 3 KB.
const maxCSR = 16 << 10

// SignWorkload gives a certificate for an identity that is proven by a token now; see SignProven.
func (a *Authority) SignWorkload(csrPEM []byte, id auth.Identity, ttl time.Duration) ([]string, error) {
	issued, err := a.SignProven(csrPEM, auth.Proof{Caller: auth.Caller{Identity: id}, At: a.opts.Clock()}, ttl)
	return issued.Chain, err
}

// Issued is a certificate that was signed.
type Issued struct {
	// Chain is one PEM an element, leaf first and root last.
	Chain []string
	Leaf  *x509.Certificate
}

// SignProven gives a certificate for the proven identity and the request's key, which says when that was
// proven, in which cluster, and for which pod. A ttl of zero or less means the default; more than the maximum, or more than the root has left, is cut.
func (a *Authority) SignProven(csrPEM []byte, proof auth.Proof, ttl time.Duration) (Issued, error) {
	id := proof.Identity
	pub, err := publicKey(csrPEM)
	if err != nil {
		return Issued{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if err := id.Validate(); err != nil {
		return Issued{}, err
	}
	if id.TrustDomain != a.opts.TrustDomain {
		return Issued{}, fmt.Errorf("%w: trust domain %q is not this CA's %q", ErrRequest, id.TrustDomain, a.opts.TrustDomain)
	}
	template, err := a.template(ttl, pub)
	if err != nil {
		return Issued{}, err
	}
	template.URIs = []*url.URL{id.URL()}
	if template.ExtraExtensions, err = proof.Extensions(); err != nil {
		return Issued{}, err
	}
	der, err := a.sign(template, pub)
	if err != nil {
		return Issued{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return Issued{}, fmt.Errorf("what was signed for %s cannot be read: %w", id, err)
	}
	if err := a.check(cert, proof, pub); err != nil {
		return Issued{}, fmt.Errorf("what was signed for %s is withheld: %w", id, err)
	}
	return Issued{append([]string{string(certPEM(der))}, a.chainPEM...), cert}, nil
}

// publicKey takes the key out of a request, whose signature proves that the caller has its other
// half.
func publicKey(csrPEM []byte) (crypto.PublicKey, error) {
	if len(csrPEM) > maxCSR {
		return nil, fmt.Errorf("longer than %d bytes", maxCSR)
	}
	block, rest := pem.Decode(csrPEM)
	if block == nil || (block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST") {
		return nil, errors.New("not a PEM certificate request")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("data after the PEM block")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	if err := checkKey(csr.PublicKey); err != nil {
		return nil, err
	}
	if err := checkSignatureAlgorithm(csr.SignatureAlgorithm); err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	return csr.PublicKey, nil
}

// template has all but the names: lifetime and uses.
func (a *Authority) template(ttl time.Duration, pub crypto.PublicKey) (*x509.Certificate, error) {
	if ttl <= 0 {
		ttl = a.opts.DefaultTTL
	}
	now := a.opts.Clock()
	if left := a.notAfter.Sub(now); left < minRemaining {
		return nil, fmt.Errorf("the CA's own certificate ends at %s", a.notAfter.UTC().Format(time.RFC3339))
	}
	t := &x509.Certificate{
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(min(ttl, a.opts.MaxTTL)),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	if t.NotBefore.Before(a.signer.NotBefore) {
		t.NotBefore = a.signer.NotBefore
	}
	if t.NotAfter.After(a.notAfter) {
		t.NotAfter = a.notAfter
	}
	if _, ok := pub.(*rsa.PublicKey); ok {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment // RSA key exchange of TLS 1.2
	}
	return t, nil
}

// sign also verifies the signature with the CA's public key: x509.CreateCertificate does.
func (a *Authority) sign(template *x509.Certificate, pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, a.signer, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return der, nil
}

// check looks at the signed certificate as a relying party would, and not at the template.
func (a *Authority) check(cert *x509.Certificate, proof auth.Proof, pub crypto.PublicKey) error {
	got, err := auth.FromCertificate(cert)
	pod, foreign := auth.BoundPod(cert)
	switch {
	case err != nil:
		return err
	case got != proof.Identity:
		return fmt.Errorf("identity is %s", got)
	case auth.ProvenAt(cert).Unix() != proof.At.Unix():
		return fmt.Errorf("it says that it was proven at %s", auth.ProvenAt(cert))
	case pod != proof.Pod || foreign != proof.Foreign:
		return fmt.Errorf("it says that it is for the pod %q, of another cluster: %v", pod, foreign)
	case auth.ProvenIn(cert) != proof.Cluster:
		return fmt.Errorf("it says that it was proven in the cluster %q", auth.ProvenIn(cert))
	case len(cert.DNSNames)+len(cert.EmailAddresses)+len(cert.IPAddresses) > 0:
		return errors.New("it has names beside the SPIFFE URI")
	case len(cert.Subject.Names) > 0:
		return errors.New("it has a subject")
	case !samePublicKey(pub, cert.PublicKey):
		return errors.New("the key is not the request's")
	case cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 || cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return fmt.Errorf("key usage is %b", cert.KeyUsage)
	case cert.NotBefore.Before(a.signer.NotBefore) || cert.NotAfter.After(a.notAfter):
		return errors.New("it outlives its signer")
	case cert.NotAfter.Sub(a.opts.Clock()) > a.opts.MaxTTL:
		return errors.New("it lives longer than the maximum")
	case !bytes.Equal(cert.RawIssuer, a.signer.RawSubject):
		return errors.New("the issuer is another")
	}
	return nil
}
