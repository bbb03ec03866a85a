package model

import (
	"bytes"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
)

// Secret is what of a Kubernetes Secret a gateway uses: a key pair to present, and authorities to check
// its peers against. All but OCSPStaple is PEM; each may be empty. It never prints what it holds.
type Secret struct {
	Certificate, Key []byte
	OCSPStaple       []byte // DER
	Authorities, CRL []byte
	// Withheld tells that the key stayed where the Secret is; Unfit then says why it and the certificate cannot
	// be used, "" where they can. No source makes such a Secret: it is one that a control plane tells of.
	Withheld bool
	Unfit    string
}

// The keys of a Secret's data, of kubernetes.io/tls and, as Istio takes it before that, generic.
const (
	SecretCertificate = "tls.crt"
	SecretKey         = "tls.key"
	secretStaple      = "tls.ocsp-staple"
	SecretAuthorities = "ca.crt"
	SecretCRL         = "ca.crl"

	genericCertificate = "cert"
	genericKey         = "key"
	genericAuthorities = "cacert"
	genericCRL         = "crl"
)

// NewSecret takes from a Kubernetes Secret what a gateway uses.
func NewSecret(s *corev1.Secret) *Secret {
	get := func(key string) []byte {
		if text, ok := s.StringData[key]; ok { // it counts for more, as to an API server
			return []byte(text)
		}
		return bytes.Clone(s.Data[key])
	}
	out := &Secret{
		Certificate: get(SecretCertificate), Key: get(SecretKey), OCSPStaple: get(secretStaple),
		Authorities: get(SecretAuthorities), CRL: get(SecretCRL),
	}
	if cert, key := get(genericCertificate), get(genericKey); len(cert) > 0 && len(key) > 0 {
		out.Certificate, out.Key, out.OCSPStaple = cert, key, nil
	}
	if ca := get(genericAuthorities); len(ca) > 0 {
		out.Authorities, out.CRL = ca, get(genericCRL)
	}
	return out
}

// Same tells whether two Secrets are equal.
func (s *Secret) Same(o *Secret) bool {
	return bytes.Equal(s.Certificate, o.Certificate) && bytes.Equal(s.Key, o.Key) && bytes.Equal(s.OCSPStaple, o.OCSPStaple) &&
		bytes.Equal(s.Authorities, o.Authorities) && bytes.Equal(s.CRL, o.CRL) && s.Withheld == o.Withheld && s.Unfit == o.Unfit
}

// Format implements fmt.Formatter for all verbs, so that no key reaches a log by accident.
func (s *Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// MarshalJSON is Format for JSON.
func (s *Secret) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }
