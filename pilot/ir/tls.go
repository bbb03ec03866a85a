package ir

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
	SecretRoot     = "ROOTCA"  // the roots of the mesh
)

// UpstreamTLS says how TLS is spoken to a cluster.
type UpstreamTLS struct {
	CertSecret string // SDS name of the client certificate; empty for none
	RootSecret string // SDS name of the roots; empty does not verify the server
	SNI        string
	ALPN       []string
	// SubjectAltNames that the server may present, exact; empty for any that the roots vouch for.
	SubjectAltNames []string
}

// DownstreamTLS says how TLS is accepted from clients.
type DownstreamTLS struct {
	CertSecret string // SDS name of the server certificate
	// CertFile and KeyFile are paths in the proxy, instead of CertSecret.
	CertFile, KeyFile string
	RootSecret        string // SDS name of the roots for client certificates; empty for none
	RootFile          string // path of the roots, instead of RootSecret
	RequireClientCert bool
	// TrustDomains whose SPIFFE identities are accepted; empty for any that the roots vouch for.
	TrustDomains []string
	ALPN         []string
}
