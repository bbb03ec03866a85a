package traffic

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
)

// The bounds of what is read from one proxy. The rest is left out, which is told.
const (
	maxPage  = 8 << 20 // bytes
	maxLine  = 16 << 10
	maxEdges = 1000
)

// Workload is one end of an edge. The name is "unknown" where nobody knows it, as Istio writes it.
type Workload struct{ Namespace, Name string }

// edge is what a series of metrics is about.
type edge struct {
	bySource bool // counted by the client's proxy
	from, to Workload
	service  string // destination_service_name
	protocol string // http, grpc or tcp
}

// counts are the totals of an edge since its proxy started.
type counts struct {
	requests, failed float64
	// connections are those of TCP that were opened, sent and received their bytes.
	connections, sent, received float64
	// secured and plain are the requests and connections of which the server's proxy knows whether they
	// came by mutual TLS.
	secured, plain float64
	buckets        map[float64]float64 // of durations, cumulative, by upper bound in ms
}

// readings are the totals of one proxy.
type readings struct {
	edges map[edge]*counts
	// cut is true where the proxy has more edges than are kept.
	cut bool
}

// parse reads a page of metrics in Prometheus' text format. A proxy is believed about its own side only:
// what it says of edges whose near end is in another namespace than its own is left out.
func parse(page io.Reader, namespace string) (readings, error) {
	out := readings{edges: map[edge]*counts{}}
	limited := &io.LimitedReader{R: page, N: maxPage}
	lines := bufio.NewScanner(limited)
	lines.Buffer(make([]byte, 4096), maxLine)
	for lines.Scan() {
		name, rest, found := strings.Cut(lines.Text(), "{")
		if !found || !wanted(name) {
			continue
		}
		end := strings.LastIndexByte(rest, '}')
		if end < 0 {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[end+1:]), 64)
		if err != nil {
			continue
		}
		l := labelsOf(rest[:end])
		if l.near().Namespace != namespace {
			continue
		}
		out.add(name, &l, value)
	}
	if err := lines.Err(); err != nil {
		return out, fmt.Errorf("metrics: %w", err)
	}
	if limited.N <= 0 {
		return out, fmt.Errorf("metrics: more than %d MB", maxPage>>20)
	}
	return out, nil
}

const (
	metricRequests = "istio_requests_total"
	metricDuration = "istio_request_duration_milliseconds_bucket"
	metricOpened   = "istio_tcp_connections_opened_total"
	metricSent     = "istio_tcp_sent_bytes_total"
	metricReceived = "istio_tcp_received_bytes_total"
)

func wanted(name string) bool {
	switch name {
	case metricRequests, metricDuration, metricOpened, metricSent, metricReceived:
		return true
	}
	return false
}

func (r *readings) add(name string, l *labels, value float64) {
	e := edge{l.reporter == "source", l.source, l.destination, l.service, l.protocol}
	c := r.edges[e]
	if c == nil {
		if len(r.edges) == maxEdges {
			r.cut = true
			return
		}
		c = &counts{}
		r.edges[e] = c
	}
	switch name {
	case metricRequests:
		c.requests += value
		if l.failed() {
			c.failed += value
		}
		c.secure(l, value)
	case metricDuration:
		if c.buckets == nil {
			c.buckets = map[float64]float64{}
		}
		c.buckets[l.bound] += value
	case metricOpened:
		c.connections += value
		c.secure(l, value)
	case metricSent:
		c.sent += value
	case metricReceived:
		c.received += value
	}
}

func (c *counts) secure(l *labels, value float64) {
	switch l.security {
	case "mutual_tls":
		c.secured += value
	case "none":
		c.plain += value
	}
}

// labels are those of a series that the graph is made of.
type labels struct {
	reporter, service, protocol, security, code, grpc string
	source, destination                               Workload
	bound                                             float64
}

// near is the end that the proxy which counted stands for.
func (l *labels) near() Workload {
	if l.reporter == "source" {
		return l.source
	}
	return l.destination
}

// failed tells whether a request counts as an error: an answer of 5xx or none at all, of gRPC a status that
// is not OK.
func (l *labels) failed() bool {
	if l.protocol == "grpc" {
		return l.grpc != "" && l.grpc != "0"
	}
	return strings.HasPrefix(l.code, "5") || l.code == "0"
}

func labelsOf(text string) labels {
	var l labels
	for name, value := range pairs(text) {
		switch name {
		case "reporter":
			l.reporter = value
		case "source_workload":
			l.source.Name = value
		case "source_workload_namespace":
			l.source.Namespace = value
		case "destination_workload":
			l.destination.Name = value
		case "destination_workload_namespace":
			l.destination.Namespace = value
		case "destination_service_name":
			l.service = value
		case "request_protocol":
			l.protocol = value
		case "connection_security_policy":
			l.security = value
		case "response_code":
			l.code = value
		case "grpc_response_status":
			l.grpc = value
		case "le":
			l.bound, _ = strconv.ParseFloat(value, 64) // what is no number counts for 0
		}
	}
	return l
}

var unescaper = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")

// pairs walks through labels as a="b",c="d" until one does not parse.
func pairs(text string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for text != "" {
			name, rest, found := strings.Cut(text, `="`)
			if !found {
				return
			}
			end := 0
			for end < len(rest) && rest[end] != '"' {
				if rest[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(rest) || !yield(name, unescaper.Replace(rest[:end])) {
				return
			}
			text = strings.TrimPrefix(rest[end+1:], ",")
		}
	}
}
