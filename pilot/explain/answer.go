package explain

import (
	"slices"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// Answer is what happens to a request.
type Answer struct {
	Steps   []Step  `json:"steps"`
	Outcome Outcome `json:"outcome"`
}

// Stage names what decided a step.
type Stage string

// The stages, in the order in which a connection passes them, the first being how the client finds the host's address.
// A policy is one of the proxy itself, or, as the last of
// all, of the proxy beside the server that the step names.
const (
	StageHost        Stage = "host"
	StageListener    Stage = "listener"
	StageFilterChain Stage = "filter chain"
	StageHandshake   Stage = "handshake"
	StageFilter      Stage = "filter"
	StagePolicy      Stage = "policy"
	StageVirtualHost Stage = "virtual host"
	StageRoute       Stage = "route"
	StageCluster     Stage = "cluster"
	StageEndpoints   Stage = "endpoints"
	StageMirror      Stage = "mirror"
)

// Step is one decision.
type Step struct {
	Stage Stage `json:"stage"`
	// Name is that of the resource, or of the part of it, that decided.
	Name string `json:"name"`
	// Text says what was decided, in one line.
	Text string `json:"text"`
	// Details say more, e.g. what else stood there and why it did not match, a line each.
	Details []string `json:"details,omitempty"`
	// Object is where it comes from: /apis/GROUP/VERSION/namespaces/NS/KIND/NAME. Empty for what no object asks for.
	Object string `json:"object,omitempty"`
	Place
	open bool // what is decided there is not known
}

// Outcome is what the client, or the server, gets to see.
type Outcome struct {
	// Status is that of the proxy's own answer; 0 where the request is forwarded, or is no HTTP.
	Status int `json:"status,omitempty"`
	// Flags are Envoy's response flags (NR, UH, NC, FI, DI, DPE), comma-separated.
	Flags string `json:"flags,omitempty"`
	// Reason says in one sentence why the request is not forwarded.
	Reason string `json:"reason,omitempty"`
	// Refused tells that no server gets the request, and the configuration has no answer of its own either.
	Refused bool `json:"refused,omitempty"`
	// Closed tells that the connection ends without an answer.
	Closed bool `json:"closed,omitempty"`
	// Presented are the names in the certificate that the proxy shows the client, where it has it from a Secret.
	Presented string `json:"presented,omitempty"`
	Location  string `json:"location,omitempty"` // of a redirect
	Body      string `json:"body,omitempty"`     // of a direct response, or of a policy's refusal

	// Forward is set where the request, or the connection, goes to a server.
	Forward *Forward `json:"forward,omitempty"`
	// Abort is an injected answer to a share of the requests; the rest goes on as Forward says.
	Abort *Abort `json:"abort,omitempty"`
	// Partly says where requests end, of which not all end alike, or some get to a server.
	Partly string `json:"partly,omitempty"`
	// Delay is held before anything else happens, for a share of requests.
	Delay *Delay `json:"delay,omitempty"`
}

// Abort is an injected answer.
type Abort struct {
	Status  int     `json:"status,omitempty"`
	GRPC    *uint32 `json:"grpc,omitempty"`
	Percent float64 `json:"percent"`
}

// Delay is an injected wait.
type Delay struct {
	Duration time.Duration `json:"duration"`
	Percent  float64       `json:"percent"`
}

// Forward is how a request is passed on.
type Forward struct {
	Clusters []Cluster `json:"clusters"` // one, or several with shares
	// Path and Host are as the server sees them; empty for TCP.
	Path string `json:"path,omitempty"`
	Host string `json:"host,omitempty"`
	// Tunnel is the host:port that the server is asked to connect to, by HTTP, for a connection of TCP; empty
	// where its bytes are sent as they are.
	Tunnel string `json:"tunnel,omitempty"`
	// Timeout is for the whole request; 0 for none.
	Timeout time.Duration `json:"timeout,omitempty"`
	Retry   *Retry        `json:"retry,omitempty"`
	Mirrors []Mirror      `json:"mirrors,omitempty"`
	// Hash is what clusters that hash choose a server by, as "by header x-user".
	Hash []string `json:"hash,omitempty"`
	// RequestHeaders and ResponseHeaders are what filters and the route change of either.
	RequestHeaders  []HeaderChange `json:"requestHeaders,omitempty"`
	ResponseHeaders []HeaderChange `json:"responseHeaders,omitempty"`
	filtered        int            // of RequestHeaders, those that filters change, before the route does
}

// RequestChanges gives the changes of a request that goes to a cluster, in Envoy's order: filters, the
// cluster's own, then the route's.
func (f *Forward) RequestChanges(c *Cluster) []HeaderChange {
	return slices.Concat(f.RequestHeaders[:f.filtered], c.RequestHeaders, f.RequestHeaders[f.filtered:])
}

// ResponseChanges gives those of a response that comes from a cluster: its own, the route's, then filters.
func (f *Forward) ResponseChanges(c *Cluster) []HeaderChange {
	return slices.Concat(c.ResponseHeaders, f.ResponseHeaders)
}

// Cluster is one place to which a request may go.
type Cluster struct {
	Name    string  `json:"name"`
	Percent float64 `json:"percent"` // of the requests
	Subset  string  `json:"subset,omitempty"`
	// ConnectTimeout is how long a connection to a server is waited for.
	ConnectTimeout time.Duration `json:"connectTimeout,omitempty"`
	// Protocol is what the server is spoken to in: HTTP/1.1, HTTP/2, as the client, or TCP.
	Protocol string `json:"protocol,omitempty"`
	// Host is what this cluster alone rewrites the host to.
	Host            string         `json:"host,omitempty"`
	RequestHeaders  []HeaderChange `json:"requestHeaders,omitempty"`
	ResponseHeaders []HeaderChange `json:"responseHeaders,omitempty"`
	Endpoints       []Endpoint     `json:"endpoints,omitempty"`
	// Flags and Reason are set where a request that comes here is answered with 503.
	Flags  string `json:"flags,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Endpoint is one server.
type Endpoint struct {
	Address  string `json:"address"` // ip:port, name:port or path
	Workload string `json:"workload,omitempty"`
	Locality string `json:"locality,omitempty"` // region/zone/subzone
	Priority uint32 `json:"priority"`
	// Percent is the share of the cluster's requests that its priority gets, all others being well.
	Percent float64 `json:"percent"`
	// Weight is its share among the servers of its locality; 0 where all of the cluster are alike.
	Weight uint32 `json:"weight,omitempty"`
	// LocalityWeight is that of its locality among those of its priority, where the cluster goes by that.
	LocalityWeight uint32 `json:"localityWeight,omitempty"`
	Health         string `json:"health,omitempty"` // where it is not healthy
	// TLS is mutual, simple or none; SNI is what is asked for there.
	TLS  string `json:"tls"`
	SNI  string `json:"sni,omitempty"`
	ALPN string `json:"alpn,omitempty"`
	// Proxy is the version of the PROXY protocol that the connection begins with: v1, v2, or empty for none.
	Proxy string `json:"proxy,omitempty"`
	// Status is what the proxy beside the server answers, and Refusal why, where it does not let the request in.
	Status  int    `json:"status,omitempty"`
	Refusal string `json:"refusal,omitempty"`

	meshTLS   bool // TLS is the mesh's own
	unwrapped bool // the proxy beside the server ends TLS
}

// Retry says when a request is tried again, and how often.
type Retry struct {
	On            string        `json:"on"`
	Attempts      uint32        `json:"attempts"`
	PerTryTimeout time.Duration `json:"perTryTimeout,omitempty"`
	StatusCodes   []uint32      `json:"statusCodes,omitempty"`
}

// Mirror is a copy of a request to another cluster.
type Mirror struct {
	Cluster string  `json:"cluster"`
	Percent float64 `json:"percent"`
	Host    string  `json:"host,omitempty"` // as it sees it
}

// HeaderChange is one change of a header. Value is as configured: it may hold Envoy's %COMMANDS%.
type HeaderChange struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
	// Do is set, add, add if absent or remove.
	Do string `json:"do"`
}

// walk is one request on its way.
type walk struct {
	*Config
	request Request
	answer  *Answer
	// dynamicPort is the port of the host that the request names, "" where nothing resolves that.
	dynamicPort string
	// serverName is what the handshake asks for, in lower case, as far as the listener looks at it.
	serverName string
	// unasked tells that no provider of external authorization is asked, as for what has no route.
	unasked bool
	// terminated tells that the proxy ends the client's TLS, and identity is what the client proved there.
	terminated bool
	identity   string
	// forwardedFor is the x-forwarded-for that servers see, "" for the client's own, and hidesClient tells that its
	// last is a client whose address nobody knows here. tokenSpent tells that the token does not go on to servers.
	forwardedFor string
	hidesClient  bool
	tokenSpent   bool
	shortcut     *shortcut // nil for who reads all of the steps
}

// Explain follows a request through the proxy.
func (c *Config) Explain(r Request) *Answer { return c.follow(r, nil) }

func (c *Config) follow(r Request, by *shortcut) *Answer {
	w := &walk{Config: c, request: r, answer: &Answer{}, shortcut: by}
	if w.find() {
		w.listen()
	}
	return w.answer
}

// step adds a step that comes from what metadata names.
func (w *walk) step(stage Stage, name, text string, m *core.Metadata, details ...string) {
	w.stepOf(stage, name, text, Part{Object: source(m)}, details...)
}

// stepOf adds a step that a part decided.
func (w *walk) stepOf(stage Stage, name, text string, p Part, details ...string) {
	w.answer.Steps = append(w.answer.Steps, Step{Stage: stage, Name: name, Text: text, Details: details, Object: p.Object, Place: w.place(p)})
}

// answered ends the walk with an answer of the proxy's own.
func (w *walk) answered(status int, flags, reason string) {
	o := &w.answer.Outcome
	o.Status, o.Flags, o.Reason = status, flags, reason
}

// refused ends the walk with an answer that nobody asked for: no server gets the request.
func (w *walk) refused(status int, flags, reason string) {
	w.answered(status, flags, reason)
	w.answer.Outcome.Refused = true
}

// closed ends the walk with the end of the connection.
func (w *walk) closed(flags, reason string) {
	o := &w.answer.Outcome
	o.Refused, o.Closed, o.Flags, o.Reason = true, true, flags, reason
}

// source gives the object that metadata names as the origin.
func source(m *core.Metadata) string {
	return m.GetFilterMetadata()["istio"].GetFields()["config"].GetStringValue()
}

// Failure is how a server fails to answer.
type Failure string

// The failures: NoFailure is an answer, ResetConnection the end of a connection on which the request was, and NoConnection
// that none comes about.
const (
	NoFailure       Failure = ""
	ResetConnection Failure = "reset"
	NoConnection    Failure = "refused"
)

// Attempts is how often a server is asked in all, when each answers with a status of HTTP, or fails.
func (f *Forward) Attempts(status int, failed Failure) int {
	if f.Retry == nil {
		return 1
	}
	for on := range strings.SplitSeq(f.Retry.On, ",") {
		var again bool
		switch on {
		case "5xx":
			again = failed != NoFailure || status >= 500
		case "gateway-error":
			again = failed != NoFailure || status >= 502 && status <= 504
		case "reset":
			again = failed != NoFailure
		case "connect-failure":
			again = failed == NoConnection
		case "retriable-4xx":
			again = status == 409
		case "retriable-status-codes":
			again = failed == NoFailure && slices.Contains(f.Retry.StatusCodes, uint32(status))
		}
		if again {
			return 1 + int(f.Retry.Attempts)
		}
	}
	return 1
}
