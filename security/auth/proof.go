package auth

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
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
	// Cluster names that of the control plane that proved it, "" where it has no name.
	Cluster string
	At      time.Time
	// By is how it was proven now, and Serial the number of the certificate that proved it, in hex.
	By     Method
	Serial string
}

// provenAt names the extension of a certificate that says when its identity was last proven by a token, in
// seconds since 1970. It stands in the arc of UUIDs (X.667), so no registry is asked.
var provenAt = asn1.ObjectIdentifier{2, 25, 1764383123}

// boundPod names the extension that says which pod the proof was bound to, as a UTF8String. foreignPod is in its place
// where the proof is a foreign one, empty where it was bound to none. provenIn names the one that says in which cluster
// the control plane is that proved it, as a UTF8String. All are of the same arc.
var (
	boundPod   = asn1.ObjectIdentifier{2, 25, 1764383124}
	foreignPod = asn1.ObjectIdentifier{2, 25, 1764383125}
	provenIn   = asn1.ObjectIdentifier{2, 25, 1764383126}
)

// Extensions gives what a certificate has of the proof. Nobody but the control plane reads them.
func (p Proof) Extensions() ([]pkix.Extension, error) {
	at, err := asn1.Marshal(p.At.Unix())
	if err != nil {
		return nil, err
	}
	out := []pkix.Extension{{Id: provenAt, Value: at}}
	add := func(id asn1.ObjectIdentifier, says string) {
		value, failed := asn1.MarshalWithParams(says, "utf8")
		out, err = append(out, pkix.Extension{Id: id, Value: value}), errors.Join(err, failed)
	}
	switch {
	case p.Foreign:
		add(foreignPod, p.Pod)
	case p.Pod != "":
		add(boundPod, p.Pod)
	}
	if p.Cluster != "" {
		add(provenIn, p.Cluster)
	}
	return out, err
}

// BoundPod gives the pod for which a certificate was made, and whether its proof was a foreign one; "" where it does not
// say so, as one of another CA of the same root, or for a proof that was bound to none.
func BoundPod(c *x509.Certificate) (pod string, foreign bool) {
	if extension(c, foreignPod, &pod) {
		return pod, true
	}
	extension(c, boundPod, &pod)
	return pod, false
}

// ProvenIn gives the cluster of the control plane that made a certificate; "" where it does not say so.
func ProvenIn(c *x509.Certificate) (cluster string) {
	extension(c, provenIn, &cluster)
	return cluster
}

// extension reads what a certificate has under a name, and tells whether it has it.
func extension[T any](c *x509.Certificate, id asn1.ObjectIdentifier, into *T) bool {
	for _, x := range c.Extensions {
		var says T
		if !x.Id.Equal(id) {
			continue
		}
		if rest, err := asn1.Unmarshal(x.Value, &says); err == nil && len(rest) == 0 {
			*into = says
			return true
		}
	}
	return false
}

// ProvenAt gives when the identity of a certificate was last proven by a token: as it says, else when it was
// made, as of certificates that another CA of the same root signed.
func ProvenAt(c *x509.Certificate) time.Time {
	var seconds int64
	if extension(c, provenAt, &seconds) && seconds <= c.NotAfter.Unix() {
		return time.Unix(seconds, 0)
	}
	return c.NotBefore
}
