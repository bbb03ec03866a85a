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

// Proof is who was proven to call, and when that was last proven by something else than a certificate of our CA.
type Proof struct {
	Caller
	At time.Time
	// By is how it was proven now, and Serial the number of the certificate that proved it, in hex.
	By     Method
	Serial string
}

// provenAt names the extension of a certificate that says when its identity was last proven by a token, in
// seconds since 1970. It stands in the arc of UUIDs (X.667), so no registry is asked.
var provenAt = asn1.ObjectIdentifier{2, 25, 1764383123}

// boundPod names the extension that says which pod the proof was bound to, as a UTF8String. foreignPod is in its place
// where the proof is a foreign one, empty where it was bound to none. Both are of the same arc.
var (
	boundPod   = asn1.ObjectIdentifier{2, 25, 1764383124}
	foreignPod = asn1.ObjectIdentifier{2, 25, 1764383125}
)

// Extensions gives what a certificate has of the proof. Nobody but the control plane reads them.
func (p Proof) Extensions() ([]pkix.Extension, error) {
	at, err := asn1.Marshal(p.At.Unix())
	if err != nil {
		return nil, err
	}
	out := []pkix.Extension{{Id: provenAt, Value: at}}
	id := boundPod
	switch {
	case p.Foreign:
		id = foreignPod
	case p.Pod == "":
		return out, nil
	}
	pod, err := asn1.MarshalWithParams(p.Pod, "utf8")
	return append(out, pkix.Extension{Id: id, Value: pod}), err
}

// BoundPod gives the pod for which a certificate was made, and whether its proof was a foreign one; "" where it does not
// say so, as one of another CA of the same root, or for a proof that was bound to none.
func BoundPod(c *x509.Certificate) (pod string, foreign bool) {
	for _, x := range c.Extensions {
		foreign = x.Id.Equal(foreignPod)
		if !foreign && !x.Id.Equal(boundPod) {
			continue
		}
		if rest, err := asn1.Unmarshal(x.Value, &pod); err == nil && len(rest) == 0 {
			return pod, foreign
		}
	}
	return "", false
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
