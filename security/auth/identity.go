// Package auth answers who is calling: it proves a workload's SPIFFE identity from a client
// certificate or a service-account token. The CA signs for, and the discovery server serves,
// only what is proven here.
//
// Identities are read here and not by go-spiffe, which knows nothing of Istio's form of the path: it would
// do the trust domain's twelve lines, for 36 KB more. Issuers' keys are fetched here and not by go-oidc
// (v3.21, 110 KB more). That asks the issuer again for each token with an unknown key, as often as somebody
// sends one, and reads documents without a bound. It would be left with one field of one document.
package auth

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Identity is a workload's proven identity. All three parts are set and well formed when it comes
// from this package.
type Identity struct {
	// TrustDomain is the mesh's trust domain, "cluster.local" by default.
	TrustDomain string
	// Namespace and ServiceAccount name the Kubernetes service account.
	Namespace, ServiceAccount string
}

// Caller is who calls: an identity, and the pod of it that the proof was made for.
type Caller struct {
	Identity
	// Pod names the pod of the identity's namespace that the proof is bound to, as the token of a kubelet is, and
	// the certificates that our CA gives for it; "" for a proof that is bound to none.
	Pod string
	// Foreign tells that it was proven by another issuer than that of the control plane's own cluster, or machine. Its pods
	// are others, also those of the same name.
	Foreign bool
}

// NewCaller gives who a token speaks for.
func NewCaller(trustDomain, namespace, account, pod string) (Caller, error) {
	c := Caller{Identity: Identity{TrustDomain: trustDomain, Namespace: namespace, ServiceAccount: account}, Pod: pod}
	if err := c.Validate(); err != nil {
		return Caller{}, fmt.Errorf("token subject: %w", err)
	}
	if pod != "" && !validName(pod) {
		return Caller{}, fmt.Errorf("token: pod %q is not a Kubernetes name", pod)
	}
	return c, nil
}

// maxURI is the longest SPIFFE URI that the SPIFFE ID specification allows, in bytes.
const maxURI = 2048

// String gives the SPIFFE URI, spiffe://TRUSTDOMAIN/ns/NS/sa/SA.
func (id Identity) String() string {
	return "spiffe://" + id.TrustDomain + "/ns/" + id.Namespace + "/sa/" + id.ServiceAccount
}

// URL gives the SPIFFE URI in the form that X.509 templates take.
func (id Identity) URL() *url.URL {
	return &url.URL{Scheme: "spiffe", Host: id.TrustDomain, Path: "/ns/" + id.Namespace + "/sa/" + id.ServiceAccount}
}

// Validate reports the first part that cannot stand in a SPIFFE URI.
func (id Identity) Validate() error {
	switch {
	case !validTrustDomain(id.TrustDomain):
		return fmt.Errorf("identity: trust domain %q is not a lower-case domain name", id.TrustDomain)
	case !validName(id.Namespace):
		return fmt.Errorf("identity: namespace %q is not a Kubernetes name", id.Namespace)
	case !validName(id.ServiceAccount):
		return fmt.Errorf("identity: service account %q is not a Kubernetes name", id.ServiceAccount)
	case len(id.String()) > maxURI:
		return fmt.Errorf("identity: longer than %d bytes", maxURI)
	}
	return nil
}

// ParseIdentity reads exactly the form that Identity.String writes; a query, port, user, escape,
// empty or further path segment is an error.
func ParseIdentity(uri string) (Identity, error) {
	if len(uri) > maxURI {
		return Identity{}, fmt.Errorf("SPIFFE URI is longer than %d bytes", maxURI)
	}
	rest, ok := strings.CutPrefix(uri, "spiffe://")
	if !ok {
		return Identity{}, fmt.Errorf("%q does not start with spiffe://", uri)
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" {
		return Identity{}, fmt.Errorf("%q is not of the form spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT", uri)
	}
	id := Identity{TrustDomain: parts[0], Namespace: parts[2], ServiceAccount: parts[4]}
	if err := id.Validate(); err != nil {
		return Identity{}, err
	}
	return id, nil
}

// FromCertificate reads the identity of a certificate whose chain the caller has verified. A SPIFFE
// certificate has exactly one URI name.
func FromCertificate(cert *x509.Certificate) (Identity, error) {
	if len(cert.URIs) != 1 {
		return Identity{}, fmt.Errorf("certificate has %d URI names, want exactly one", len(cert.URIs))
	}
	if cert.IsCA {
		return Identity{}, errors.New("certificate is a CA's, not a workload's")
	}
	return ParseIdentity(cert.URIs[0].String())
}

// validName accepts DNS-1123 subdomains: what Kubernetes allows for namespaces (a subset), service
// accounts and pods.
func validName(s string) bool {
	if len(s) == 0 || len(s) > 253 || !alphanumeric(s[0]) || !alphanumeric(s[len(s)-1]) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !alphanumeric(s[i]) && s[i] != '-' && s[i] != '.' {
			return false
		}
	}
	return !strings.Contains(s, "..")
}

// validTrustDomain accepts what the SPIFFE specification allows: lower-case letters, digits, '.',
// '-' and '_', at most 255 bytes.
func validTrustDomain(s string) bool {
	if len(s) == 0 || len(s) > 255 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !alphanumeric(s[i]) && s[i] != '-' && s[i] != '.' && s[i] != '_' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
