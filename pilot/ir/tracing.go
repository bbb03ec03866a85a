package ir

import "time"

// Tracing is how a connection manager makes spans of requests.
type Tracing struct {
	// Sampling is the share of requests that are traced where no client has decided, 0 to 100.
	Sampling float64
	// Provider takes the spans: *OpenTelemetry, *Zipkin, *Datadog or *SkyWalking; nil for the tracer of
	// Envoy's bootstrap.
	Provider TraceProvider
	Tags     []TraceTag // sorted by name
	// MaxPathLength cuts the path that a span has, in bytes; 0 for Envoy's 256.
	MaxPathLength uint32
	// NoPropagation leaves the headers of requests that go upstream as they are.
	NoPropagation bool
	// IgnoreRequestID samples without regard to the decision that a request's x-request-id carries.
	IgnoreRequestID bool
}

// TraceTag is a tag of spans, with a value of one sort.
type TraceTag struct {
	Name string
	Kind TraceTagKind
	// Value is the text, the format, or the name of the header or the environment variable.
	Value string
	// Default is for a header or a variable that is not there; "" leaves the tag out.
	Default string
}

// TraceTagKind is where the value of a tag is from.
type TraceTagKind uint8

// The kinds of tags.
const (
	TagLiteral TraceTagKind = iota
	TagFormat
	TagHeader
	TagEnvironment
)

// TraceProvider is what takes spans.
type TraceProvider interface{ traceProvider() }

// OpenTelemetry takes spans by OTLP: over gRPC, or over HTTP where Path is set.
type OpenTelemetry struct {
	Cluster   string
	Authority string
	Path      string        // of HTTP, with a slash
	Timeout   time.Duration // of an export; 0 for none
	Headers   []Header      // of an export
	Dynatrace bool          // asks Dynatrace's files for attributes of the resource
}

// Zipkin takes spans as JSON of Zipkin's second version.
type Zipkin struct {
	Cluster, Authority, Path string
	Timeout                  time.Duration // of a report; 0 for Envoy's
	Headers                  []Header
	Short                    bool // trace IDs have 64 bits
	W3C                      bool // the W3C's headers are read and written beside B3
}

// Datadog takes spans as Datadog's agent does. The service's name is in the environment of each Envoy.
type Datadog struct{ Cluster, Authority string }

// SkyWalking takes segments by SkyWalking's protocol, of the service and the instance that Envoy's node names.
type SkyWalking struct {
	Cluster, Authority string
	Token              string // "" for none
}

func (*OpenTelemetry) traceProvider() {}
func (*Zipkin) traceProvider()        {}
func (*Datadog) traceProvider()       {}
func (*SkyWalking) traceProvider()    {}
