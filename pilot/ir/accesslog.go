package ir

// AccessLogger writes down what became of each request or connection: one of *FileLog, *ServiceLog,
// *OpenTelemetryLog, *StatsLog, *BytesLog and *TapLog. All those of a list do, in its order.
type AccessLogger interface{ accessLogger() }

// LogFilter selects what a logger sees; empty fields select everything.
type LogFilter struct {
	// NoRoute selects connections that found no filter chain.
	NoRoute bool
	// Expression selects those for which an expression of the Common Expression Language is true.
	Expression string
	// GRPC selects calls of gRPC that reached the GRPCStats filter.
	GRPC bool
	// Entries selects those of a TCP connection, which may have several.
	Entries []LogEntry
}

// LogEntry is what gives rise to an entry of a TCP connection's log.
type LogEntry uint8

// The entries of a connection: when its upstream one is made, every some time, and at its end.
const (
	EntryConnected LogEntry = iota
	EntryPeriodic
	EntryEnd
)

// FileLog writes one line for each.
type FileLog struct {
	Filter LogFilter
	Path   string
	// Text is the format of a line; JSON, where not nil, replaces it by fields.
	Text string
	JSON []JSONField
	// OmitEmpty leaves out what has no value; otherwise a text has "-" in its place, and JSON null.
	OmitEmpty bool
}

// ServiceLog sends entries by Envoy's access log service.
type ServiceLog struct {
	Filter             LogFilter
	Name               string // of the log, by which who receives it tells logs apart
	Cluster, Authority string
	// Connections makes entries of connections; otherwise they are of requests.
	Connections bool
	// FilterState names what of the filter state goes along, and the others what of requests does.
	FilterState, RequestHeaders, ResponseHeaders, ResponseTrailers []string
}

// OpenTelemetryLog sends entries by OTLP over gRPC.
type OpenTelemetryLog struct {
	Filter             LogFilter
	Name               string // of the log, an attribute of the resource
	Cluster, Authority string
	Body               string // format
	Attributes         []JSONField
}

// JSONField is one field of a JSON access log, or an attribute of an entry, with Envoy's format of its value, or with Fields
// of its own.
type JSONField struct {
	Name, Format string
	Fields       []JSONField
}

// StatsLog counts them.
type StatsLog struct {
	Filter LogFilter
	// Scope is what bounds the number of series, in common with all that have the same.
	Scope StatsScope
	Stats []Stat
}

// StatsScope bounds the series of a proxy. Series that are beyond the limits are not counted.
type StatsScope struct {
	Name                string // of the scope; those of one name are equal
	Prefix              string // of the statistics' names
	Counters, Histogram uint32 // the most of each
}

// Stat is a counter or a histogram, with a series for each combination of its labels' values.
type Stat struct {
	Name string
	Kind StatKind
	// Value is the command operator that gives a number; "" counts 1.
	Value  string
	Labels []StatLabel
}

// StatKind is a kind of statistics, with its unit.
type StatKind uint8

// The kinds of statistics.
const (
	StatCounter StatKind = iota
	StatMilliseconds
	StatBytes
)

// StatLabel is a label of a series, with Envoy's format of its value.
type StatLabel struct{ Name, Format string }

// TapLog sends requests to a cluster by Envoy's access log service while a runtime value says so.
type TapLog struct {
	// Name of the log, by which who receives it tells logs apart.
	Name string
	// Runtime is the name of the value: the least status of the requests that are sent. Otherwise is what it is where
	// nobody sets it.
	Runtime, Cluster string
	Otherwise        uint32
	// NameTag is the tag of a request that has the log's name, RouteTag the one that has the object which its
	// route came from.
	NameTag, RouteTag string
}

// BytesLog sends the entries of TCP connections to a cluster by Envoy's access log service, with tags.
type BytesLog struct {
	Filter        LogFilter
	Name, Cluster string
	Tags          []StatLabel
}

func (*TapLog) accessLogger()           {}
func (*BytesLog) accessLogger()         {}
func (*FileLog) accessLogger()          {}
func (*ServiceLog) accessLogger()       {}
func (*OpenTelemetryLog) accessLogger() {}
func (*StatsLog) accessLogger()         {}
