package explain

import (
	"crypto/x509"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Way is how a connection comes to the proxy.
type Way string

const (
	// Outbound is from the workload beside the proxy, whose connections are captured.
	Outbound Way = "outbound"
	// Inbound is to the workload beside the proxy, captured on its arrival.
	Inbound Way = "inbound"
	// Direct is to an address and port on which the proxy itself listens, as at a gateway.
	Direct Way = "direct"
)

// Protocol is what the client speaks; inside TLS where it does so.
type Protocol string

// The protocols. TCP stands for bytes that are no HTTP, and HTTP3 comes over UDP, which no proxy captures.
const (
	HTTP10 Protocol = "HTTP/1.0"
	HTTP11 Protocol = "HTTP/1.1"
	HTTP2  Protocol = "HTTP/2"
	HTTP3  Protocol = "HTTP/3"
	TCP    Protocol = "TCP"
)

// TLS is the handshake that a client offers.
type TLS struct {
	SNI  string   // the name in it; empty for none
	ALPN []string // what it offers; of HTTP/3 always h3
	// Oldest and Newest are the versions of TLS that it offers, by crypto/tls's numbers; 0 for any.
	Oldest, Newest uint16
	// Ciphers are the suites that it offers for TLS 1.2 and older, by OpenSSL's names; nil for all.
	Ciphers []string
	// Certificate tells that the client shows a certificate: Chain, its own first, or where that is nil one of the mesh.
	Certificate bool
	Chain       []*x509.Certificate
	// Fitting tells, where Chain is nil, that the certificate is one that the filter chain takes, of whatever CA.
	Fitting bool
	// At is when, for what is valid only for a time.
	At time.Time
	// Identity is the URI in it, e.g. spiffe://cluster.local/ns/default/sa/default.
	Identity string
}

// Request is one connection, and what is asked on it.
type Request struct {
	Way         Way
	Source      netip.Addr // of the client, as the proxy sees it; may be invalid
	Destination netip.AddrPort
	// Socket is the path of the Unix socket that the client connects to, in the place of Destination; else empty.
	Socket string
	// OfPod tells of a Direct one that Destination is of the pod itself, where no Service stands between.
	OfPod bool
	// Local tells of a Direct one that its client is the workload beside the proxy, whose application may listen there.
	Local bool
	// Named is the host by whose name, or address, the client found the destination; nil where that is not looked at.
	Named *Host
	// Port is the port that the client asked for, where a Service led it to another one; else 0.
	Port     uint16
	TLS      *TLS
	Protocol Protocol
	// ServerFirst tells that the client, without TLS, says nothing before the server does.
	ServerFirst bool

	// What follows is of HTTP.
	Method string      // GET if empty
	Host   string      // :authority or Host
	Path   string      // with the query
	Header http.Header // others; names in canonical form
	// Claims are those of a token that is signed right and in time, nil without one: texts, lists and maps as
	// encoding/json gives them.
	Claims map[string]any

	// hidden tells that x-forwarded-for ends with one more, of which the address is not known here.
	hidden bool
}

// method gives the method, GET where nothing is said.
func (r *Request) method() string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

// headers gives all header fields of the request by name in lower case, those of one name joined as
// Envoy joins them, pseudo-headers among them.
func (r *Request) headers(scheme string) map[string]string {
	out := map[string]string{":authority": r.Host, ":path": r.Path, ":method": r.method(), ":scheme": scheme}
	for name, values := range r.Header {
		out[strings.ToLower(name)] = strings.Join(values, ",")
	}
	return out
}
