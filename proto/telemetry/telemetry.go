// Package telemetry is what the control plane and the node agent agree on about Istio's standard metrics.
//
// Envoy counts them in its stats access logger, whose series carry one label that the control plane
// composes of Envoy's command operators. It holds little more than what Envoy alone knows: who the other
// side is, what was answered. Where metrics are read the agent takes it apart, adds who the proxy itself
// is, and gives metrics and labels the names that Istio documents. So the configuration of a thousand
// listeners stays small, and Envoy formats one label for a request instead of twenty-five.
package telemetry

import "strings"

const (
	// Scope is the prefix of the statistics' names.
	Scope = "istio"
	// Label is the label that the agent takes apart. Further labels beside it stay as they are.
	Label = "istio"

	// PeerHeader is how a client says who it is, as base64 of a protobuf Struct, which Istio's sidecars
	// read and write; beside PeerIDHeader, which names the proxy.
	PeerHeader   = "x-envoy-peer-metadata"
	PeerIDHeader = "x-envoy-peer-metadata-id"
	// PeerVariable is the environment variable of Envoy's process that holds the header's value.
	PeerVariable = "ISTIO_PEER_METADATA"
	// ShortPeerHeader says as much in a tenth of the bytes. A server's Envoy keeps what it is told three times in each
	// histogram, so those of ours take this where it is there. Istio's know only PeerHeader, so a client sends both.
	ShortPeerHeader = "x-envoy-peer-metadata-short"
	// ShortPeerVariable is as PeerVariable.
	ShortPeerVariable = "ISTIO_PEER_METADATA_SHORT"
	// ShortPeerMetadata is the metadata of a node whose agent sets ShortPeerVariable and reads what PeerFormat composes:
	// for others neither is asked, since Envoy gives "-" for a variable that is not set.
	ShortPeerMetadata = "PEER_METADATA_SHORT"
	// LongPeerFormat is what the agents of others read.
	LongPeerFormat = "%REQ(" + PeerHeader + ")%"
	// PeerFormat composes what a server's proxy notes of them. Istio's proxies send PeerIDHeader and ours take it out, so
	// its first letter tells that ShortPeerHeader, which Istio's proxies let pass, is an application's own word.
	PeerFormat = "%REQ(" + PeerIDHeader + "):1%%REQ(" + ShortPeerHeader + "?" + PeerHeader + ")%"

	// StatusPort is the agent's HTTP server, unless a mesh says otherwise, and MetricsPath where it has the metrics
	// of Envoy alone, for Envoy's own listener and from inside the pod.
	StatusPort  = 15020
	MetricsPath = "/stats/envoy"
)

// Names of the statistics, below Scope.
const (
	StatRequests      = "requests"
	StatDuration      = "duration"       // milliseconds
	StatRequestBytes  = "request_bytes"  // headers and body, on the wire
	StatResponseBytes = "response_bytes" // the same
	// StatMessages counts gRPC calls by how many messages they had: "requests,responses" is the detail.
	StatMessages = "messages"
	// StatConnections counts TCP connections; ConnectionDetail, or SocketDetail, is the detail.
	StatConnections = "connections"
	// StatBytes is none of Envoy's: the agent counts the bytes of connections by their log (connection.go).
	StatBytes = "bytes"
)

// Reporter is the side of a request that counts it.
type Reporter byte

const (
	// Source is the client's proxy, or a gateway.
	Source Reporter = 's'
	// Destination is the server's proxy.
	Destination Reporter = 'd'
)

// Types of log entries, as Envoy names them, that tell what became of a TCP connection.
const (
	LogConnected = "TcpUpstreamConnected"
	LogEnded     = "TcpConnectionEnd"
)

// ConnectionDetail is what an entry of a TCP connection's log is about, and the proxy's own address on the way to the
// server, which there is only where that was reached. To a Unix socket there is none: where a server may have one,
// SocketDetail has the metadata of the server that was chosen say so, by hostSocket.
const (
	ConnectionDetail = "%ACCESS_LOG_TYPE%" + detailSeparator + "%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%"
	SocketDetail     = ConnectionDetail + "%UPSTREAM_METADATA(istio:address)%"
)

// hostSocket is what the metadata of a server with a Unix socket says.
const hostSocket = "unix"

// detailSeparator stands between the parts of a detail that has several.
const detailSeparator = ","

// separator stands between the fields of a value. The last field, which a client writes, may hold it.
const separator = " "

// removed stands before the name of a label or of a metric that a user does not want.
const removed = "!"

// OfMetric stands between a metric and a label that only this one of a statistic's two is not to have.
const OfMetric = "/"

// Format composes the value of Label from what each field is: text, or command operators of Envoy. Detail
// is what one statistic counts apart, and drop the labels, metrics, and labels of
// metrics, that are not to be shown.
func Format(reporter Reporter, detail string, drop []string, fields ...string) string {
	head := string(reporter) + detail
	for _, name := range drop {
		head += removed + name
	}
	return strings.Join(append([]string{head}, fields...), separator)
}

// value is one that Format gave, with what Envoy put in the operators' place.
type value struct {
	reporter Reporter
	detail   string
	drop     []string
	fields   []string
}

// parse takes a value with n fields apart.
func parse(text string, n int) (value, bool) {
	parts := strings.SplitN(text, separator, n+1)
	if len(parts) != n+1 || parts[0] == "" {
		return value{}, false
	}
	head := strings.Split(parts[0][1:], removed)
	return value{Reporter(parts[0][0]), head[0], head[1:], parts[1:]}, true
}
