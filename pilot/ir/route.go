package ir

import (
	"strings"
	"time"
)

// HTTPProxyRoutes is the name, Istio's, of the routes of requests to an HTTP proxy at the mesh's port for them. Those of
// a listener that a Sidecar asks for have the listener's name behind it.
const HTTPProxyRoutes = "http_proxy"

// ProxyRoutes tells whether a name is that of routes of requests to an HTTP proxy.
func ProxyRoutes(name string) bool {
	return name == HTTPProxyRoutes || strings.HasPrefix(name, HTTPProxyRoutes+"/")
}

// RouteConfig is a named set of virtual hosts. A request's host is compared with their domains without its
// port, but in ProxyRoutes as it stands.
type RouteConfig struct {
	Name         string
	VirtualHosts []*VirtualHost
	// RemoveFromResponses are headers that no response has.
	RemoveFromResponses []string
}

// VirtualHost holds the routes of a set of host names. The first route that matches decides.
type VirtualHost struct {
	Name    string
	Domains []string // exact, *.suffix or *; unique in a route configuration
	// Aliases is how many of the Domains, the last ones, are only taken where no other virtual host has them.
	Aliases int
	Routes  []*Route
	// RequireTLS answers plaintext requests with a redirect to https.
	// Alternative tells clients of another protocol (the header alt-svc); "" for none.
	Alternative string
	RequireTLS  bool
	// AttemptCount adds x-envoy-attempt-count to requests that go upstream.
	AttemptCount bool
}

// Route does exactly one of Forward, Redirect and Direct with the requests that it matches.
type Route struct {
	Name     string
	Match    RouteMatch
	Forward  *Forward
	Redirect *Redirect
	Direct   *DirectResponse
	Headers  HeaderOperations
	CORS     *CORS
	Fault    *Fault
	// Config names the object that the route came from, as a path of the Kubernetes API; ""
	// for a route that no object asked for.
	Config string
	// Destination is what requests are counted for that go nowhere; "" leaves that to the cluster.
	Destination string
	// StatPrefix gives the route counters of its own; "" for none.
	StatPrefix string
	// Operation is the name of the span of a request; "" for Envoy's.
	Operation string
}

// StringMatch matches a string in exactly one way; Present matches any value.
type StringMatch struct {
	Kind       MatchKind
	Value      string
	IgnoreCase bool // for exact, prefix and suffix
}

// MatchKind is a way to match a string.
type MatchKind uint8

// The ways to match a string. Regular expressions are RE2 and match the whole string.
const (
	MatchPresent MatchKind = iota
	MatchExact
	MatchPrefix
	MatchSuffix
	MatchRegex
)

// RouteMatch selects requests; all parts must match. An empty Path matches every path.
type RouteMatch struct {
	Path    StringMatch // MatchPresent matches every path
	Headers []HeaderMatch
	Query   []QueryMatch
	Claims  []ClaimMatch
}

// ClaimMatch matches a claim of the valid token of a request, under a path of names, as TokenCheck notes it with
// Reroute; inverted, its absence or another value. MatchPresent takes any value, the others a text, or a list
// that has one.
type ClaimMatch struct {
	Path   []string
	Value  StringMatch
	Invert bool
}

// HeaderMatch matches one header, or, inverted, its absence or another value.
type HeaderMatch struct {
	Name   string
	Value  StringMatch
	Invert bool
}

// QueryMatch matches one query parameter.
type QueryMatch struct {
	Name  string
	Value StringMatch
}

// Forward sends a request upstream.
type Forward struct {
	Clusters []WeightedCluster // one, or several with weights
	// Sticky is what requests are split over several clusters by, and then hashed by; nil splits at random.
	Sticky *HashPolicy
	// Timeout of the whole request; 0 means none.
	Timeout time.Duration
	Retry   *Retry // nil for none
	// PrefixRewrite replaces what a path or prefix match matched; "" leaves it.
	PrefixRewrite string
	// RegexRewrite replaces what a pattern matches in the path; nil leaves it.
	RegexRewrite *RegexRewrite
	// Authority replaces the Host header; "" leaves it.
	Authority string
	// ForwardedHost keeps the former host in x-forwarded-host where it is replaced.
	ForwardedHost bool
	Mirrors       []Mirror
	Hash          []HashPolicy
}

// RegexRewrite is an RE2 pattern with a substitution (\1 for groups).
type RegexRewrite struct{ Pattern, Substitution string }

// Retry is when, how often and where a failed request is tried again.
type Retry struct {
	Attempts      uint32
	On            []string      // conditions in Envoy's words
	StatusCodes   []uint32      // retriable, besides On
	PerTryTimeout time.Duration // 0 means the route's timeout
	BackOff       time.Duration // base interval; 0 means Envoy's 25 ms
	// AvoidPreviousHosts picks another host for each attempt.
	AvoidPreviousHosts bool
	// RemoteLocalities prefers other priorities on the later attempts.
	RemoteLocalities bool
}

// Mirror sends a copy of a share of the requests to a cluster, whose answer is dropped.
type Mirror struct {
	Cluster string
	Share   Fraction
}

// Fraction is a share in millionths, 0 to 1000000.
type Fraction uint32

// FractionAll is everything.
const FractionAll Fraction = 1_000_000

// Redirect answers with a Location. Empty fields keep the request's value.
type Redirect struct {
	Authority     string
	Scheme        string
	Port          uint32
	Path          string // replaces the path
	PrefixRewrite string // replaces the matched prefix
	Code          uint32 // 301, 302, 303, 307 or 308
}

// MaxDirectResponse bounds the body of a direct response, in bytes.
const MaxDirectResponse = 1 << 20

// DirectResponse answers without going upstream.
type DirectResponse struct {
	Status uint32 // 200 to 599
	Body   []byte
}

// HeaderOperations change the headers of a request and of its response.
type HeaderOperations struct {
	Request, Response HeaderOperation
}

// HeaderOperation changes headers.
type HeaderOperation struct {
	Set, Add []Header // sorted by name
	Remove   []string // sorted
}

// Header is one header with its value in Envoy's format.
type Header struct{ Name, Value string }

// CORS is a cross-origin policy.
type CORS struct {
	Origins          []StringMatch
	Methods, Headers []string
	Expose           []string
	MaxAge           *time.Duration
	Credentials      *bool
	// ForwardUnmatched sends preflight requests of other origins upstream (nil: Envoy's default).
	ForwardUnmatched *bool
}

// Fault delays or aborts a share of the requests.
type Fault struct {
	Delay      time.Duration // 0 for none
	DelayShare Fraction
	AbortHTTP  uint32  // status; 0 for none
	AbortGRPC  *uint32 // gRPC status; nil for none
	AbortShare Fraction
}
