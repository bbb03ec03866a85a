package auth

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"
)

// Method of a proof.
type Method string

// The methods.
const (
	ByToken       Method = "token"
	ByCertificate Method = "certificate"
)

// Proof is a proven identity, and when it was last proven by something else than a certificate of our CA.
type Proof struct {
	Identity Identity
	At       time.Time
	// By is how it was proven now, and Serial the number of the certificate that proved it, in hex.
	By     Method
	Serial string
}

// provenAt names the extension of a certificate that says when its identity was last proven by a token, in
// seconds since 1970. It stands in the arc of UUIDs (X.667), so no registry is asked.
var provenAt = asn1.ObjectIdentifier{2, 25, 1764383123}

// Extension gives what a certificate has of the proof. Nobody but the CA reads it.
func (p Proof) Extension() (pkix.Extension, error) {
	value, err := asn1.Marshal(p.At.Unix())
	return pkix.Extension{Id: provenAt, Value: value}, err
}

// ProvenAt gives when the identity of a certificate was last proven by a token: as it says, else when it was
// made, as of certificates that another CA of the same root signed.
func ProvenAt(c *x509.Certificate) time.Time {
	for _, x := range c.Extensions {
		var seconds int64
		if !x.Id.Equal(provenAt) {
			continue
		}
		if rest, err := asn1.Unmarshal(x.Value, &seconds); err == nil && len(rest) == 0 && seconds <= c.NotAfter.Unix() {
			return time.Unix(seconds, 0)
		}
	}
	return c.NotBefore
}
