package ir

import (
	"strings"
	"time"
)

// MTLSMode is what a server accepts.
type MTLSMode uint8

const (
	// MTLSPermissive accepts mutual TLS and plaintext.
	MTLSPermissive MTLSMode = iota
	// MTLSStrict accepts mutual TLS only.
	MTLSStrict
	// MTLSDisable accepts plaintext only.
	MTLSDisable
)

// String gives the mode as PeerAuthentication writes it.
func (m MTLSMode) String() string {
	switch m {
	case MTLSStrict:
		return "STRICT"
	case MTLSDisable:
		return "DISABLE"
	}
	return "PERMISSIVE"
}

// Names of the secrets that the node agent serves.
const (
	SecretWorkload = "default" // the workload's own certificate and key
	SecretRoot     = "ROOTCA"  // the roots of the mesh's own identities, which every agent serves
	// secretRootsWith begins the names of SecretRoot with the roots of further trust domains for their identities.
	// Agents of Istio and older ones do not know them.
	secretRootsWith = "ROOTCA-with:"
)

// SecretRootsWith names the roots of the mesh's own identities with those of further trust domains, each for its
// own identities only. The domains are sorted; without any it is SecretRoot.
func SecretRootsWith(domains []string) string {
	if len(domains) == 0 {
		return SecretRoot
	}
	return secretRootsWith + strings.Join(domains, ",")
}

// FurtherDomains gives the trust domains that a name of SecretRootsWith has, none for another secret.
func FurtherDomains(secret string) []string {
	if domains, ok := strings.CutPrefix(secret, secretRootsWith); ok {
		return strings.Split(domains, ",")
	}
	return nil
}

// UpstreamTLS says how TLS is spoken to a cluster.
type UpstreamTLS struct {
	CertSecret string // SDS name of the client certificate; empty for none
	RootSecret string // SDS name of the roots; empty does not verify the server
	CRLFile    string // path of what the roots revoke, beside RootSecret; empty for none
	SNI        string
	ALPN       []string
	// SubjectAltNames that the server may present, exact; empty for any that the roots vouch for.
	SubjectAltNames []string
	Params          TLSParams
}

// DownstreamTLS says how TLS is accepted from clients.
type DownstreamTLS struct {
	// CertSecrets are the SDS names of the server's certificates, one for each kind of key.
	CertSecrets []string
	// CertFile and KeyFile are paths in the proxy, instead of CertSecrets.
	CertFile, KeyFile string
	RootSecret        string // SDS name of the roots for client certificates; empty for none
	CRLFile           string // path of what the roots revoke; empty for none
	RequireClientCert bool
	// TrustDomains whose SPIFFE identities are accepted; empty for any that the roots vouch for.
	TrustDomains []string
	// SubjectAltNames of which a client's certificate has to have one, exact; empty for any.
	SubjectAltNames []string
	// KeyHashes and CertificateHashes, in one of which a client's certificate has to be: SHA-256 of its
	// public key in base64, and of itself in hexadecimal. Empty for any.
	KeyHashes, CertificateHashes []string
	// AcceptUntrusted lets clients in whose certificate is not vouched for.
	AcceptUntrusted bool
	ALPN            []string
	Params          TLSParams
	// Handshake is the time within which a client has to be known; 0 for any. QUIC has a bound of its own.
	Handshake time.Duration
}

// TLSParams bound what is negotiated; the zero value is Envoy's choice, of TLS 1.2 or newer.
type TLSParams struct {
	Min, Max TLSVersion
	Ciphers  []string // of TLS 1.2 and older, by OpenSSL's names
	Curves   []string // by OpenSSL's names
}

// TLSVersion is a version of TLS, in their order.
type TLSVersion uint8

// The versions.
const (
	TLSAuto TLSVersion = iota
	TLS10
	TLS11
	TLS12
	TLS13
)

// SecretKubernetes begins the names of the secrets that the control plane serves.
const SecretKubernetes = "kubernetes://"
