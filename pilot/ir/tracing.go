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
	// UpstreamSpan makes a span of what is sent beside the one of what is received.
	UpstreamSpan bool
	// IgnoreRequestID leaves the decision, which a request's x-request-id carries, to the headers of the provider alone:
	// Envoy then traces all requests that these say nothing of, whatever Sampling is.
	IgnoreRequestID bool
}

// TraceTag is a tag of spans, with a value of one sort.
type TraceTag struct {
	Name string
	Kind TraceTagKind
	// Value is the text, the format, the name of the header or the environment variable, or what the filter of
	// authorization has noted it as.
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
	TagAuthorization
)

// TraceProvider is what takes spans.
type TraceProvider interface{ traceProvider() }

// OpenTelemetry takes spans by OTLP: over gRPC, or over HTTP where Path is set.
type OpenTelemetry struct {
	Cluster   string
	Authority string
	Path      string        // of HTTP, with a slash
	Timeout   time.Duration // of an export; 0 for none, of gRPC only
	Headers   []Header      // of an export
	Dynatrace bool          // asks Dynatrace's files for attributes of the resource
	// Sampler decides which requests are traced, of those that no client has decided about; nil for Tracing.Sampling.
	Sampler *DynatraceSampler
}

// DynatraceSampler traces as many requests as Dynatrace says, which it asks a service by HTTP.
type DynatraceSampler struct {
	Tenant    string
	ClusterID int32 // Dynatrace's
	// RootSpans are traced a minute where Dynatrace says nothing; 0 for 1,000.
	RootSpans                uint32
	Cluster, Authority, Path string
	Timeout                  time.Duration // of a question
	Headers                  []Header      // of a question
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
