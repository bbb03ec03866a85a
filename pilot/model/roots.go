package model

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"
)

// maxRoots bounds the roots of the mesh in bytes. Agents take a MiB with the CA's own.
const maxRoots = 900 << 10

// MaxKeySetURL is Istio's limit of the URLs that keys are fetched from, in bytes.
const MaxKeySetURL = 2048

// RootFaults gives for each entry of MeshConfig's caCertificates what is wrong with it. Until it is right, it has no
// roots.
func RootFaults(all []*meshconfig.MeshConfig_CertificateData) [][]Fault {
	out := make([][]Fault, len(all))
	total := 0
	for i, ca := range all {
		c := faults{all: Faults(ca)}
		c.roots(ca)
		size := len(ca.GetPem())
		if ca.GetSpiffeBundleUrl() != "" {
			size = MaxSPIFFEBundle
		}
		if size *= max(1, len(ca.GetTrustDomains())); total+size > maxRoots {
			c.fail("", fmt.Sprintf("with those before it is longer than %d bytes, a root counted once for each of its trust domains, and a bundle that is fetched as %d; proxies take no more", maxRoots, MaxSPIFFEBundle))
		}
		if out[i] = c.all; len(c.all) == 0 {
			total += size
		}
	}
	return out
}

func (c *faults) roots(ca *meshconfig.MeshConfig_CertificateData) {
	if ca.GetPem() != "" && !isCertificates(ca.GetPem()) {
		c.fail("pem", "holds no certificates in PEM, or something else beside them")
	}
	if at, ok := ca.GetCertificateData().(*meshconfig.MeshConfig_CertificateData_SpiffeBundleUrl); ok {
		// What does not come by https could be anybody's roots, and with them anybody's identity.
		if u, err := url.Parse(at.SpiffeBundleUrl); err != nil || u.Host == "" || u.Scheme != "https" {
			c.fail("spiffeBundleUrl", fmt.Sprintf("%q is not an https URL", at.SpiffeBundleUrl))
		} else if len(at.SpiffeBundleUrl) > MaxKeySetURL {
			c.fail("spiffeBundleUrl", fmt.Sprintf("is longer than %d bytes", MaxKeySetURL))
		}
	}
	for i, domain := range ca.GetTrustDomains() {
		if !isTrustDomain(domain) {
			c.fail(fmt.Sprintf("trustDomains[%d]", i), fmt.Sprintf("%q is no domain", domain))
		}
	}
}

// UsableRoots gives the mesh's configuration without the roots of entries of caCertificates that are at fault. Their
// trust domains stay named: nobody of one whose roots are not known is let in, by the mesh's own roots neither.
func UsableRoots(mesh *meshconfig.MeshConfig) *meshconfig.MeshConfig {
	all := RootFaults(mesh.GetCaCertificates())
	if !slices.ContainsFunc(all, func(f []Fault) bool { return len(f) > 0 }) {
		return mesh
	}
	out := proto.CloneOf(mesh)
	for i, found := range all {
		if len(found) > 0 {
			out.CaCertificates[i].CertificateData = nil
		}
	}
	return out
}

// isTrustDomain tells whether an identity may be of a domain (SPIFFE ID, 2.1).
func isTrustDomain(name string) bool {
	return name != "" && len(name) <= 255 && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_", r))
	})
}

// isCertificates tells whether a text is certificates in PEM and nothing else.
func isCertificates(text string) bool {
	rest := []byte(text)
	for len(bytes.TrimSpace(rest)) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return false
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return false
		}
	}
	return strings.TrimSpace(text) != ""
}
