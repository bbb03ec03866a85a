package telemetry

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
)

// Pair is one label of a series.
type Pair struct{ Name, Value string }

// UserPair gives a label that a user set beside Label. An expression that has no value for a request is as unknown
// as anything else that a proxy does not know.
func UserPair(name, value string) Pair {
	if value == "" {
		value = unknown
	}
	return Pair{name, value}
}

// Series is one that Istio documents, of a statistic of Envoy's.
type Series struct {
	// Metric is its name, such as istio_requests_total.
	Metric string
	Labels []Pair
	// Times is how often the statistic's value counts.
	Times uint64
}

// metrics gives, for each statistic that becomes one metric as it is, that metric.
var metrics = map[string]string{
	StatRequests:      MetricRequests,
	StatDuration:      MetricDuration,
	StatRequestBytes:  MetricRequestBytes,
	StatResponseBytes: MetricResponseBytes,
}

// The names of Istio's metrics. Those of StatConnections, StatBytes and StatMessages are two each.
const (
	MetricRequests         = "istio_requests_total"
	MetricDuration         = "istio_request_duration_milliseconds"
	MetricRequestBytes     = "istio_request_bytes"
	MetricResponseBytes    = "istio_response_bytes"
	MetricSent             = "istio_tcp_sent_bytes_total"
	MetricReceived         = "istio_tcp_received_bytes_total"
	MetricOpened           = "istio_tcp_connections_opened_total"
	MetricClosed           = "istio_tcp_connections_closed_total"
	MetricRequestMessages  = "istio_request_messages_total"
	MetricResponseMessages = "istio_response_messages_total"
)

// MetricsOf gives the metrics of a statistic, nil where it is none of ours.
func MetricsOf(statistic string) []string {
	switch statistic {
	case StatConnections:
		return []string{MetricOpened, MetricClosed}
	case StatBytes:
		return []string{MetricSent, MetricReceived}
	case StatMessages:
		return []string{MetricRequestMessages, MetricResponseMessages}
	}
	if name := metrics[statistic]; name != "" {
		return []string{name}
	}
	return nil
}

// Known tells whether Expand knows a statistic of Envoy's.
func Known(statistic string) bool { return statistic != StatBytes && MetricsOf(statistic) != nil }

// IsLabel tells whether Istio's metrics have a label.
func IsLabel(name string) bool {
	v := value{reporter: Source, fields: []string{"a.b.svc.c"}}
	return slices.ContainsFunc(v.labels(&Expander{}, "http", "200", "-", "0", "", ""), func(p Pair) bool { return p.Name == name })
}

// Fields of the value of Label: those of a request, and of a connection.
const (
	httpFields = 6 // destination, code, flags, gRPC status, principal, peer
	tcpFields  = 4 // destination, flags, principal, peer
)

// HTTPFields composes the fields of a request, and TCPFields those of a connection. The destination is the
// name of the client's cluster, or on the server's side the host of the service, else the cluster;
// principal is the peer's, and peer what its metadata says.
func HTTPFields(destination, code, flags, grpcStatus, principal, peer string) []string {
	return []string{destination, code, flags, grpcStatus, principal, peer}
}

// TCPFields is as HTTPFields.
func TCPFields(destination, flags, principal, peer string) []string {
	return []string{destination, flags, principal, peer}
}

// maxPeers bounds those that an Expander knows.
const maxPeers = 2000

// Expander expands the statistics of a page in a proxy of the local workload. It reads each caller only once, though
// several statistics name it.
type Expander struct {
	Local Workload
	peers map[[sha256.Size]byte]Workload // by the digest of the peer header, which is long

	// What one call leaves to the next, since a page has thousands of series.
	header []byte
	pairs  []Pair
}

// Expand gives the series that one of a statistic stands for, by the value of Label. It gives none for what is no
// statistic of ours. The labels are good until the next call.
func (e *Expander) Expand(statistic, text string) []Series {
	tcp := statistic == StatConnections || statistic == StatBytes
	n := httpFields
	if tcp {
		n = tcpFields
	}
	v, ok := parse(text, n)
	if !ok || v.reporter != Source && v.reporter != Destination {
		return nil
	}
	var labels []Pair
	if tcp {
		labels = v.labels(e, "tcp", "", v.fields[1], "", v.fields[2], v.fields[3])
	} else {
		protocol := "http"
		if v.fields[3] != "" || statistic == StatMessages {
			protocol = "grpc"
		}
		labels = v.labels(e, protocol, v.fields[1], v.fields[2], v.fields[3], v.fields[4], v.fields[5])
	}
	return v.shown(series(statistic, v.detail, v.fields[1], labels))
}

// series gives those of a statistic, without regard to what is not wanted.
func series(statistic, detail, flags string, labels []Pair) []Series {
	switch statistic {
	case StatBytes:
		return []Series{{MetricSent, labels, 1}, {MetricReceived, labels, 1}}
	case StatConnections:
		return connections(detail, flags, labels)
	case StatMessages:
		return messages(detail, labels)
	}
	if name := metrics[statistic]; name != "" {
		return []Series{{name, labels, 1}}
	}
	return nil
}

// shown leaves out the metrics that are not wanted, and what is not wanted of one of two.
func (v value) shown(all []Series) []Series {
	if len(v.drop) == 0 {
		return all
	}
	out := make([]Series, 0, len(all))
	for _, s := range all {
		if slices.Contains(v.drop, s.Metric) {
			continue
		}
		s.Labels = slices.DeleteFunc(slices.Clone(s.Labels), func(p Pair) bool {
			return slices.Contains(v.drop, s.Metric+OfMetric+p.Name)
		})
		out = append(out, s)
	}
	return out
}

// connections counts the beginning of a connection as often as its end, also where it never reached a server, of which
// Envoy logs no beginning: one that was denied, that found no server, or whose client was gone before.
func connections(detail, flags string, labels []Pair) []Series {
	closed := Series{MetricClosed, labels, 1}
	opened := Series{MetricOpened, labels, 1}
	entry, upstream, told := strings.Cut(detail, detailSeparator)
	upstream = strings.Trim(upstream, "-") // which is what Envoy writes for nothing
	switch {
	case entry == LogConnected:
		return []Series{opened}
	case entry != LogEnded:
		return nil
	case told && (upstream == "" || upstream == hostSocket && unreached(flags)):
		return []Series{opened, closed}
	}
	return []Series{closed}
}

// unreached tells whether Envoy's flags say of a connection to a server that was chosen that it was not made.
func unreached(flags string) bool {
	for flag := range strings.SplitSeq(flags, ",") {
		switch flag {
		case "UF", "UO", "URX": // it failed, there were too many, there were too many attempts
			return true
		}
	}
	return false
}

func messages(detail string, labels []Pair) []Series {
	first, second, _ := strings.Cut(detail, detailSeparator)
	requests, err := strconv.ParseUint(first, 10, 32)
	if err != nil {
		return nil
	}
	responses, err := strconv.ParseUint(second, 10, 32)
	if err != nil {
		return nil
	}
	return []Series{{MetricRequestMessages, labels, requests}, {MetricResponseMessages, labels, responses}}
}

// labels gives all labels in Istio's order. A proven identity decides about the peer's namespace.
func (v value) labels(e *Expander, protocol, code, flags, grpcStatus, principal, peerText string) []Pair {
	local := e.Local
	principal, _, _ = strings.Cut(principal, ",") // of several names in a certificate the first
	host, service := destination(v.fields[0])
	source, dest := local, local
	security := "unknown"
	var peer *Workload
	if v.reporter == Source {
		if dest, peer = fromEndpoint(peerText), &dest; dest.Name != "" {
			dest.Cluster = cmp.Or(dest.Cluster, local.Cluster)
		}
	} else {
		source, peer = e.peer(peerText), &source
		security = "none"
		if principal != "" {
			security = "mutual_tls"
		}
	}
	peer.Principal = principal
	peer.Namespace = cmp.Or(namespaceOf(principal), peer.Namespace)
	peer.Revision = cmp.Or(peer.Revision, latest)
	if v.reporter == Destination {
		host, service = cmp.Or(host, local.Canonical), cmp.Or(service, local.Canonical)
	}
	if principal == "" {
		source.Principal, dest.Principal = "", ""
	}
	out := append(e.pairs[:0], Pair{"reporter", "destination"})
	if v.reporter == Source {
		out[0].Value = "source"
	}
	out = source.pairs(out, &sourceLabels)
	out = dest.pairs(out, &destinationLabels)
	out = append(out, Pair{"destination_service", host}, Pair{"destination_service_name", service},
		Pair{"destination_service_namespace", dest.Namespace}, Pair{"request_protocol", protocol})
	for i := range out {
		out[i].Value = cmp.Or(out[i].Value, "unknown")
	}
	if protocol != "tcp" {
		out = append(out, Pair{"response_code", code}, Pair{"grpc_response_status", grpcStatus})
	}
	out = append(out, Pair{"response_flags", flags}, Pair{"connection_security_policy", security})
	e.pairs = out
	return slices.DeleteFunc(out, func(p Pair) bool { return p.Value == "" || slices.Contains(v.drop, p.Name) })
}

// peer reads what PeerFormat composed.
func (e *Expander) peer(text string) Workload {
	e.header = append(e.header[:0], text...)
	key := sha256.Sum256(e.header)
	w, known := e.peers[key]
	if known {
		return w
	}
	w = fromPeer(text)
	if e.peers == nil {
		e.peers = map[[sha256.Size]byte]Workload{}
	}
	if len(e.peers) < maxPeers {
		e.peers[key] = w
	}
	return w
}

// sideLabels are the names of the labels that say who one side is, written out since a page has thousands of series.
type sideLabels struct {
	workload, canonicalService, canonicalRevision, namespace, principal, app, version, cluster string
}

var (
	sourceLabels = sideLabels{
		"source_workload", "source_canonical_service", "source_canonical_revision", "source_workload_namespace",
		"source_principal", "source_app", "source_version", "source_cluster",
	}
	destinationLabels = sideLabels{
		"destination_workload", "destination_canonical_service", "destination_canonical_revision", "destination_workload_namespace",
		"destination_principal", "destination_app", "destination_version", "destination_cluster",
	}
)

func (w *Workload) pairs(out []Pair, of *sideLabels) []Pair {
	return append(out,
		Pair{of.workload, w.Name},
		Pair{of.canonicalService, w.Canonical},
		Pair{of.canonicalRevision, w.Revision},
		Pair{of.namespace, w.Namespace},
		Pair{of.principal, w.Principal},
		Pair{of.app, w.App},
		Pair{of.version, w.Version},
		Pair{of.cluster, w.Cluster})
}

// destination gives the host and the name of the service behind a field: "outbound|port|subset|host", a
// host, or the name of a cluster of no service. A service of Kubernetes is named by its first label.
func destination(text string) (host, name string) {
	if parts := strings.Split(text, "|"); len(parts) == 4 {
		text = parts[3]
	} else if !strings.Contains(text, ".") {
		return "", text // PassthroughCluster and others
	}
	name = text
	if parts := strings.SplitN(text, ".", 4); len(parts) == 4 && parts[2] == "svc" {
		name = parts[0]
	}
	return text, name
}
