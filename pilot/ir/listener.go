package ir

import (
	"iter"
	"slices"
	"time"
)

// Direction tells which side of the proxy a listener serves.
type Direction uint8

// The directions of traffic, as in envoy.config.core.v3.TrafficDirection.
const (
	DirectionOutbound Direction = iota
	DirectionInbound
)

// Listener is one listening socket, or one that traffic reaches through the original
// destination of a socket (BindToPort false).
type Listener struct {
	Name           string
	Address        string // IP to bind to, or unix://PATH, without a port
	Also           string // another IP to bind to, of the other family; "" for none
	Port           uint32 // 1 to 65535
	Direction      Direction
	BufferLimit    uint32 // bytes of a connection that may wait; 0 is Envoy's own
	BindToPort     bool
	QUIC           bool // over UDP, for HTTP/3: all chains have TLS, and there are no Filters
	UseOriginalDst bool // hand connections over to the listener of their original destination
	Filters        []ListenerFilter
	// InspectTimeout bounds filters that look into the first bytes, nil where there are none; 0 waits
	// without limit. When it passes, the connection goes on with what is known by then.
	InspectTimeout *time.Duration
	Chains         []*FilterChain
	Default        *FilterChain   // for connections that no chain matches; nil refuses them
	AccessLog      []AccessLogger // of connections that no chain took
}

// AllChains gives the chains, at last the default one if there is one.
func (l *Listener) AllChains() []*FilterChain {
	if l.Default == nil {
		return l.Chains
	}
	return append(slices.Clip(l.Chains), l.Default)
}

// Managers gives the connection managers of all chains.
func (l *Listener) Managers() iter.Seq[*HTTPConnectionManager] {
	return func(yield func(*HTTPConnectionManager) bool) {
		for _, c := range l.AllChains() {
			for _, f := range c.Filters {
				if m, ok := f.(*HTTPConnectionManager); ok && !yield(m) {
					return
				}
			}
		}
	}
}

// FilterChain is what is done with the connections that it matches.
type FilterChain struct {
	Name    string
	Match   ChainMatch
	TLS     *DownstreamTLS // terminates TLS; nil leaves the bytes as they are
	Filters []NetworkFilter
	Config  string // the object that it came from, as in Route.Config; "" for none
}

// ChainMatch selects connections; empty fields match every connection.
type ChainMatch struct {
	DestinationPort      uint32
	DestinationPrefixes  []string // CIDR
	SourcePrefixes       []string // CIDR
	ServerNames          []string // SNI, exact or *.suffix
	TransportProtocol    string   // TransportTLS or TransportRaw
	ApplicationProtocols []string // ALPN of the client, or what the HTTP inspector saw
}

// Transport protocols that a TLS inspector detects.
const (
	TransportTLS = "tls"
	TransportRaw = "raw_buffer"
)

// TCPProxy forwards a connection's bytes.
type TCPProxy struct {
	StatPrefix string
	Clusters   []WeightedCluster // one, or several with weights
	Policy     TCPPolicy
	AccessLog  []AccessLogger
	// LogConnected logs a connection also when its upstream one is made, and LogEvery in intervals, 0 for not at all;
	// each is logged at its end.
	LogConnected bool
	LogEvery     time.Duration
	// AfterHandshake connects upstream when the client's TLS has been accepted, not before.
	AfterHandshake bool
}

// WeightedCluster is a share of traffic for a cluster. Headers apply to HTTP only.
type WeightedCluster struct {
	Name    string
	Weight  uint32
	Headers HeaderOperations
	// Authority replaces the Host header; "" leaves it.
	Authority string
	// DynamicPort is the port of the hosts of a cluster of DiscoveryDynamic; 0 for other clusters.
	DynamicPort uint32
}

// ClientCertDetails says what becomes of the x-forwarded-client-cert header.
type ClientCertDetails uint8

const (
	// ClientCertSanitize drops the header.
	ClientCertSanitize ClientCertDetails = iota
	// ClientCertAppendForward appends the peer's identity, as sidecars do.
	ClientCertAppendForward
	// ClientCertSanitizeSet replaces the header by the peer's identity, as gateways do.
	ClientCertSanitizeSet
	// ClientCertForwardOnly passes on what a client with a certificate sends.
	ClientCertForwardOnly
	// ClientCertAlwaysForward passes on what any client sends.
	ClientCertAlwaysForward
)

// CertDetails are parts of a client's certificate.
type CertDetails struct{ Subject, Cert, Chain, DNS, URI bool }

// HTTPConnectionManager turns a connection into requests and routes them by a named
// route configuration, or by one that it carries itself.
type HTTPConnectionManager struct {
	StatPrefix       string
	RouteConfigName  string       // fetched by RDS; "" where Routes is set
	Routes           *RouteConfig // inline
	ClientCert       ClientCertDetails
	UseRemoteAddress bool
	TrustedHops      uint32      // proxies before this one that are believed about the client's address
	ServerName       string      // the server header; "" is Envoy's own name
	KeepServer       bool        // passes the upstream's on instead
	KeepRequestID    bool        // makes no x-request-id
	KeepCase         bool        // leaves names of headers of HTTP/1 as they were written
	ForwardedPort    bool        // adds x-forwarded-port
	CertDetails      CertDetails // what ClientCert says of a client, where it says something
	EarlyRemoval     []string    // headers of requests that no filter sees
	Filters          []HTTPFilter
	AcceptHTTP10     bool
	ExtendedConnect  bool // takes upgrades over HTTP/2 (RFC 8441)
	HTTP3            bool // over QUIC
	Path             PathNormalization
	AccessLog        []AccessLogger
	Tracing          *Tracing // nil for no spans
	Limits           HTTPLimits
	Underscores      Underscores
	Denials          *Denials // nil where nothing names who denied a request
}

// Denials names in the answer to a request who denied it: its rule, or what an RBAC noted that has one asked.
type Denials struct {
	Header string
	NoRule string // the value where no rule allows
	Noted  string // the key under which the RBAC before an ExtAuthz notes its rule
}

// Underscores says what becomes of headers whose names have underscores, which servers of CGI and its heirs take
// for hyphens.
type Underscores uint8

// What becomes of them, as in envoy.config.core.v3.HttpProtocolOptions.HeadersWithUnderscoresAction.
const (
	UnderscoresAllowed  Underscores = iota
	UnderscoresDropped              // the request goes on without them
	UnderscoresRejected             // the request is refused
)

// HTTPLimits bound what clients may take. nil and 0 stand for Envoy's own, but for StreamIdle, which is for
// ever; a timeout of 0 is for ever as well, but for Drain, which is over at once.
type HTTPLimits struct {
	// Idle is without requests, MaxConnection from the beginning of a connection, Drain from telling the client
	// that it ends.
	Idle, MaxConnection, Drain *time.Duration
	// Headers is from the first byte of a request to the end of its headers, Request to the end of its body.
	Headers, Request *time.Duration
	// StreamIdle is without a byte of a request or its response, MaxStream from the beginning of a request.
	StreamIdle, MaxStream *time.Duration
	// MaxStreams are the requests of one HTTP/2 connection at a time, and the windows the bytes of a
	// stream and of a connection that may wait.
	MaxStreams, StreamWindow, ConnectionWindow uint32
}

// EscapedSlashes is what becomes of a path with %2F or %5C.
type EscapedSlashes uint8

// What becomes of it, as in Envoy's HttpConnectionManager.PathWithEscapedSlashesAction.
const (
	SlashesKept       EscapedSlashes = iota
	SlashesUnescaped                 // they become slashes before normalization
	SlashesRedirected                // the client is told to ask for the path with slashes
	SlashesRejected                  // the request is refused
)

// PathNormalization is what is done to a request's path before it is matched.
type PathNormalization struct {
	Normalize      bool // RFC 3986: dots, and percent-encoding of unreserved characters
	MergeSlashes   bool
	EscapedSlashes EscapedSlashes
}
