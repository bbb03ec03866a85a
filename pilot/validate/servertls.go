package validate

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// serverTLS checks whether a Gateway's server may have TLS settings, and those.
func (c *checker) serverTLS(path string, s *networking.Server) {
	t := s.GetTls()
	path += ".tls"
	switch protocol := strings.ToUpper(s.GetPort().GetProtocol()); protocol {
	case "HTTPS", "TLS":
		if t == nil {
			c.fail(path, "is missing, but the port's protocol is %s; set tls.mode and a certificate", protocol)
			return
		}
		if t.GetHttpsRedirect() {
			c.warn(path+".httpsRedirect", "has no effect on a port with the protocol %s; put it on the one with HTTP", protocol)
		}
		c.tlsOptions(path, t)
	case "HTTP", "HTTP2", "GRPC", "GRPC-WEB":
		// PASSTHROUGH is what a mode that is not set says.
		if t.GetMode() != networking.ServerTLSSettings_PASSTHROUGH || hasCertificates(t) {
			c.fail(path, "is not possible on a port with the protocol %s, but for httpsRedirect; use HTTPS", protocol)
		}
	default:
		if t != nil {
			c.fail(path, "is only possible on a port with the protocol HTTPS or TLS")
		}
	}
}

func hasCertificates(t *networking.ServerTLSSettings) bool {
	return t.GetServerCertificate() != "" || t.GetPrivateKey() != "" || t.GetCaCertificates() != "" || t.GetCaCrl() != "" ||
		hasSecrets(t) || len(t.GetTlsCertificates()) > 0
}

func hasSecrets(t *networking.ServerTLSSettings) bool {
	return t.GetCredentialName() != "" || len(t.GetCredentialNames()) > 0
}

// tlsOptions checks where a server's certificates come from: from one place, and all of them.
func (c *checker) tlsOptions(path string, t *networking.ServerTLSSettings) {
	c.ciphers(path, t.GetCipherSuites())
	low, high := t.GetMinProtocolVersion(), t.GetMaxProtocolVersion()
	if low != 0 && high != 0 && low > high {
		c.fail(path+".minProtocolVersion", "%v is above maxProtocolVersion %v", low, high)
	}
	switch t.GetMode() {
	case networking.ServerTLSSettings_PASSTHROUGH, networking.ServerTLSSettings_AUTO_PASSTHROUGH:
		if hasCertificates(t) {
			c.warn(path, "has mode %v, in which no certificate is presented; remove them, or use SIMPLE", t.GetMode())
		}
		return
	case networking.ServerTLSSettings_ISTIO_MUTUAL:
		if hasCertificates(t) || t.GetCaCertCredentialName() != "" {
			c.fail(path, "has mode ISTIO_MUTUAL, which uses the mesh's own certificates; remove the others")
		}
		c.clientIdentity(path, t)
		return
	}
	c.certificateSources(path, t)
	c.clientIdentity(path, t)
	if t.GetMode() != networking.ServerTLSSettings_SIMPLE && !hasSecrets(t) && t.GetCaCertCredentialName() == "" {
		c.clientAuthority(path, t)
	}
	if t.GetCaCrl() != "" && t.GetCaCertificates() == "" {
		c.fail(path+".caCrl", "needs caCertificates, which issued what it revokes")
	}
}

// certificateSources checks that a server's key pair is given in exactly one way. A pair in files may be left beside
// what takes its place.
func (c *checker) certificateSources(path string, t *networking.ServerTLSSettings) {
	var ways []string
	files := t.GetServerCertificate() != "" || t.GetPrivateKey() != ""
	for _, way := range []struct {
		name string
		set  bool
	}{
		{"credentialName", t.GetCredentialName() != ""},
		{"credentialNames", len(t.GetCredentialNames()) > 0},
		{"tlsCertificates", len(t.GetTlsCertificates()) > 0},
	} {
		if way.set {
			ways = append(ways, way.name)
		}
	}
	switch {
	case len(ways) == 0 && !files:
		c.fail(path, "has no certificate; set credentialName, or serverCertificate and privateKey")
	case len(ways) > 1:
		c.fail(path, "gives its certificate by %s; keep one of them", strings.Join(ways, " and by "))
	case len(ways) == 1 && files:
		c.overridden(path, "gives its certificate by %s, which counts, and by serverCertificate and privateKey; keep one of them", ways[0])
	case (t.GetServerCertificate() == "") != (t.GetPrivateKey() == ""):
		c.fail(path, "has one of serverCertificate and privateKey; set both")
	}
	// One for RSA and one for ECDSA; MaxItems of Istio's schema.
	if len(t.GetCredentialNames()) > 2 {
		c.fail(path+".credentialNames", "has %d entries; use at most 2", len(t.GetCredentialNames()))
	}
	if len(t.GetTlsCertificates()) > 2 {
		c.fail(path+".tlsCertificates", "has %d entries; use at most 2", len(t.GetTlsCertificates()))
	}
	if slices.Contains(t.GetCredentialNames(), "") {
		c.fail(path+".credentialNames", "has an empty entry; remove it")
	}
	for i, pair := range t.GetTlsCertificates() {
		if pair.GetServerCertificate() == "" || pair.GetPrivateKey() == "" {
			c.fail(at(path+".tlsCertificates", i), "has no serverCertificate or no privateKey; set both")
		}
	}
}

// clientAuthority checks that there is something to check clients' certificates against.
func (c *checker) clientAuthority(path string, t *networking.ServerTLSSettings) {
	if t.GetCaCertificates() == "" && !slices.ContainsFunc(t.GetTlsCertificates(), func(p *networking.ServerTLSSettings_TLSCertificate) bool {
		return p.GetCaCertificates() != ""
	}) {
		c.fail(path+".caCertificates", "is missing; mode %v checks the client's certificate against it", t.GetMode())
	}
}

// clientIdentity checks what is said of clients' certificates, which Envoy refuses a listener for.
func (c *checker) clientIdentity(path string, t *networking.ServerTLSSettings) {
	for i, hash := range t.GetVerifyCertificateSpki() {
		if sum, err := base64.StdEncoding.DecodeString(hash); err != nil || len(sum) != sha256.Size {
			c.fail(at(path+".verifyCertificateSpki", i), "%q is no SHA-256 in base64", hash)
		}
	}
	for i, hash := range t.GetVerifyCertificateHash() {
		plain := hash
		if strings.Count(hash, ":") == sha256.Size-1 {
			plain = strings.ReplaceAll(hash, ":", "")
		}
		if sum, err := hex.DecodeString(plain); err != nil || len(sum) != sha256.Size {
			c.fail(at(path+".verifyCertificateHash", i), "%q is no SHA-256 in hexadecimal", hash)
		}
	}
	if t.GetMode() != networking.ServerTLSSettings_SIMPLE {
		return
	}
	for _, of := range []struct {
		field string
		set   bool
	}{
		{"subjectAltNames", len(t.GetSubjectAltNames()) > 0},
		{"verifyCertificateSpki", len(t.GetVerifyCertificateSpki()) > 0},
		{"verifyCertificateHash", len(t.GetVerifyCertificateHash()) > 0},
		{"insecureSkipVerify", t.GetInsecureSkipVerify().GetValue()},
	} {
		if of.set {
			c.warn(path+"."+of.field, "has no effect in mode SIMPLE, in which clients show no certificate; use MUTUAL")
		}
	}
}

// ciphers reports cipher suites that are left out.
func (c *checker) ciphers(path string, suites []string) {
	c.offered(path+".cipherSuites", "cipher suite", model.CipherSuites(), suites)
}

// offered reports names that are not among those that proxies have.
func (c *checker) offered(path, what string, all, names []string) {
	for i, name := range names {
		if !slices.Contains(all, name) {
			c.warn(at(path, i), "%q is no %s that proxies have; it is left out", name, what)
		}
		if slices.Contains(names[:i], name) {
			c.warn(at(path, i), "names %q twice; remove one", name)
		}
	}
}

// ingressTLS checks the settings of a Sidecar's ingress listener, whose certificates are files.
func (c *checker) ingressTLS(path string, in *networking.IstioIngressListener) {
	t := in.GetTls()
	if t == nil {
		return
	}
	switch protocol := strings.ToUpper(in.GetPort().GetProtocol()); protocol {
	case "HTTPS", "TLS":
	default:
		c.fail(path, "is only possible on a port with the protocol HTTPS or TLS")
	}
	switch t.GetMode() {
	case networking.ServerTLSSettings_SIMPLE, networking.ServerTLSSettings_MUTUAL, networking.ServerTLSSettings_OPTIONAL_MUTUAL:
		c.tlsOptions(path, t)
	default:
		c.fail(path+".mode", "%v is not possible for a Sidecar; use SIMPLE, MUTUAL or OPTIONAL_MUTUAL", t.GetMode())
	}
	if t.GetHttpsRedirect() {
		c.fail(path+".httpsRedirect", "is not possible for a Sidecar; remove it")
	}
	if hasSecrets(t) {
		c.fail(path+".credentialName", "is not possible for a Sidecar, which reads files; use serverCertificate and privateKey")
	}
}
