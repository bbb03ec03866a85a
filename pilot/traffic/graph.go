package traffic

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
)

// Graph is who calls whom.
type Graph struct {
	Edges []Edge // by source, destination, service and protocol
	// Proxies is how many are connected, Unread how many of them are too many for one look.
	Proxies, Unread int
	Failed          []Failure // those that did not answer
	// Measured is false before there are two readings to compare; then all rates are 0.
	Measured bool
	// Cut is true where a proxy has more edges than are kept.
	Cut bool
}

// Failure is a proxy whose metrics were not read, and why.
type Failure struct{ Proxy, Reason string }

// Edge is one workload calling another by a service and a protocol.
type Edge struct {
	From, To Workload
	Service  string
	Protocol string // http, grpc or tcp
	// Requests a second and the share of them that failed, from 0 to 1; not of tcp.
	Requests, Failed float64
	// P50 and P95 of the duration of requests in milliseconds, negative where there were none.
	P50, P95 float64
	// Connections opened a second, and the bytes a second that the client sent and received; of tcp.
	Connections, Sent, Received float64
	Security                    Security
	Total                       float64 // requests or connections since the proxies started
}

// Security is whether what passes an edge comes by mutual TLS, as the server's proxy says.
type Security string

// What is known of security.
const (
	Unknown   Security = ""
	MutualTLS Security = "mTLS"
	Plaintext Security = "plaintext"
	Mixed     Security = "mixed"
)

// rate is what an edge did within the window, per second but for the totals.
type rate struct{ now, total counts }

// addTo adds what one proxy counted.
func (h *history) addTo(rates map[edge]*rate, g *Graph) {
	if len(h.points) == 0 {
		return
	}
	first, last := h.points[0], h.points[len(h.points)-1]
	seconds := last.at.Sub(first.at).Seconds()
	g.Measured, g.Cut = g.Measured || seconds > 0, g.Cut || last.cut
	for e, c := range last.edges {
		r := rates[e]
		if r == nil {
			r = &rate{}
			rates[e] = r
		}
		r.total.add(c, nil, 1)
		if seconds <= 0 {
			continue
		}
		// Step by step, since a proxy that was started again counts from 0.
		for i := 1; i < len(h.points); i++ {
			if now := h.points[i].edges[e]; now != nil {
				r.now.add(now, h.points[i-1].edges[e], 1/seconds)
			}
		}
	}
}

// add adds the difference of two readings of one counter.
func (c *counts) add(now, before *counts, factor float64) {
	if before == nil || now.requests < before.requests || now.connections < before.connections {
		before = &counts{} // new, or started again
	}
	grow := func(to *float64, now, before float64) { *to += max(0, now-before) * factor }
	grow(&c.requests, now.requests, before.requests)
	grow(&c.failed, now.failed, before.failed)
	grow(&c.connections, now.connections, before.connections)
	grow(&c.sent, now.sent, before.sent)
	grow(&c.received, now.received, before.received)
	grow(&c.secured, now.secured, before.secured)
	grow(&c.plain, now.plain, before.plain)
	for bound, n := range now.buckets {
		if c.buckets == nil {
			c.buckets = map[float64]float64{}
		}
		c.buckets[bound] += max(0, n-before.buckets[bound]) * factor
	}
}

// fill makes the edges. Where both sides have counted, rates are the client's, who alone knows of requests
// that reached no server, and security is the server's, who alone knows it.
func (g *Graph) fill(rates map[edge]*rate) {
	told := map[edge]bool{} // by a client's proxy, without who the client is
	for e := range rates {
		told[e.anonymous()] = told[e.anonymous()] || e.bySource
	}
	for _, e := range slices.SortedFunc(maps.Keys(rates), edge.compare) {
		r := rates[e]
		if !e.bySource && (rates[e.otherSide()] != nil || e.from.Name == unknown && r.total.plain == 0 && told[e.anonymous()]) {
			continue // the client's proxy tells more
		}
		server := r
		if e.bySource {
			server = cmp.Or(rates[e.otherSide()], rates[e.anonymous().otherSide()], r)
		}
		secured, plain := server.total.secured, server.total.plain
		if server.now.secured+server.now.plain > 0 {
			secured, plain = server.now.secured, server.now.plain
		}
		one := Edge{
			From: e.from, To: e.to, Service: e.service, Protocol: e.protocol, Requests: r.now.requests,
			P50: quantile(0.5, r.now.buckets), P95: quantile(0.95, r.now.buckets),
			Connections: r.now.connections, Sent: r.now.sent, Received: r.now.received,
			Security: security(secured, plain), Total: r.total.requests + r.total.connections,
		}
		if r.now.requests > 0 {
			one.Failed = r.now.failed / r.now.requests
		}
		g.Edges = append(g.Edges, one)
	}
}

const unknown = "unknown"

// otherSide is the edge as the proxy of the other end counts it.
func (e edge) otherSide() edge {
	e.bySource = !e.bySource
	return e
}

// anonymous is the edge of which no more is known than the client's namespace, which it has proven, as the
// server's proxy counts connections of TCP.
func (e edge) anonymous() edge {
	e.bySource, e.from.Name = true, unknown
	return e
}

func security(secured, plain float64) Security {
	switch {
	case secured > 0 && plain > 0:
		return Mixed
	case secured > 0:
		return MutualTLS
	case plain > 0:
		return Plaintext
	}
	return Unknown
}

// quantile is estimated from cumulative buckets as Prometheus does it: evenly within a bucket. It is negative
// where there is nothing to estimate from.
func quantile(q float64, buckets map[float64]float64) float64 {
	bounds := slices.Sorted(maps.Keys(buckets))
	if len(bounds) == 0 || buckets[bounds[len(bounds)-1]] <= 0 {
		return -1
	}
	rank := q * buckets[bounds[len(bounds)-1]]
	lower, below := 0.0, 0.0
	for _, bound := range bounds {
		n := buckets[bound]
		if n >= rank {
			if math.IsInf(bound, 1) || n == below {
				return lower
			}
			return lower + (bound-lower)*(rank-below)/(n-below)
		}
		lower, below = bound, n
	}
	return lower
}

func (e edge) compare(o edge) int {
	return cmp.Or(e.from.compare(o.from), e.to.compare(o.to), strings.Compare(e.service, o.service),
		strings.Compare(e.protocol, o.protocol), compareBool(e.bySource, o.bySource))
}

func (w Workload) compare(o Workload) int {
	return cmp.Or(strings.Compare(w.Namespace, o.Namespace), strings.Compare(w.Name, o.Name))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func cmpProxies(a, b Proxy) int { return strings.Compare(a.Name, b.Name) }
