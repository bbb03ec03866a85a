// Package connections counts the bytes of TCP connections while they are open. Envoy logs each every some seconds
// and at its end, with its bytes from the beginning, to the socket of agent/tap, which hands these entries over.
// What has come since the last entry of a connection is added to the series that the entry names, so a series
// only grows. agent/status writes the series with Envoy's metrics.
package connections

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// Config bounds a Counter.
type Config struct {
	// MaxOpen bounds the connections that are followed, in numbers: others count at their end.
	MaxOpen int
	// MaxSeries bounds the series: what would be one more is not counted, but as left out.
	MaxSeries int
	// Idle is when a series is forgotten that nothing was added to; 0 is never.
	Idle time.Duration
	// Now is the clock.
	Now func() time.Time
}

// Counter has the bytes of an Envoy's connections. Its methods may be called at the same time.
type Counter struct {
	cfg Config

	mu     sync.Mutex
	open   map[uint64]followed // by connection
	series map[string]*total   // by what tells them apart
	left   uint64
	swept  time.Time // when forget was last called for want of a place
}

// amount is bytes to and from a client.
type amount struct{ sent, received uint64 }

// followed is what is counted of a connection already, and when its last entry came.
type followed struct {
	amount
	at time.Time
}

// silent is when a connection that tells nothing more is followed no longer: the entry of its end was lost. Intervals
// of reports are far shorter.
const silent = 24 * time.Hour

type total struct {
	amount
	label  string
	others []telemetry.Pair
	used   time.Time
}

// Total is what one series has.
type Total struct {
	// Label is one of telemetry.StatBytes.
	Label string
	// Others are the labels that a user set.
	Others         []telemetry.Pair
	Sent, Received uint64
}

// Register gives metrics of what bounds the series of the whole proxy, and of what was left out here. What Envoy has
// left out is in its own (telemetry.OverflowCounters).
func (c *Counter) Register(registry prometheus.Registerer) {
	limit := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "istio_agent_stats_series_limit", Help: "The most counters, histograms, and series of bytes of connections, each, of Istio's metrics.",
	})
	limit.Set(float64(c.cfg.MaxSeries))
	eviction := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "istio_agent_stats_eviction_seconds", Help: "When a series that does not grow is forgotten; 0 is never.",
	})
	eviction.Set(c.cfg.Idle.Seconds())
	registry.MustRegister(limit, eviction, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "istio_agent_connection_entries_left_out_total", Help: "Entries of connections whose bytes were not counted, since there are too many series.",
	}, func() float64 { return float64(c.LeftOut()) }))
}

// New gives a Counter that has counted nothing.
func New(cfg Config) *Counter {
	return &Counter{cfg: cfg, open: map[uint64]followed{}, series: map[string]*total{}}
}

// Take takes a message of Envoy's log, an envoy.service.accesslog.v3.StreamAccessLogsMessage. What is no entry of a
// connection is left out.
func (c *Counter) Take(message []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	for e := range entries(message) {
		id, label, ok := telemetry.Connection(e.tag)
		if !ok {
			continue
		}
		before, known := c.open[id]
		switch {
		case e.ended:
			delete(c.open, id)
		case !known && len(c.open) >= c.cfg.MaxOpen && !c.sweep(now):
			continue
		default:
			c.open[id] = followed{e.amount, now}
		}
		more := e.since(before.amount)
		if more != (amount{}) || e.ended || known {
			c.add(label, e.others, more, now)
		}
	}
}

func (c *Counter) add(label string, others []telemetry.Pair, more amount, now time.Time) {
	key := label
	for _, p := range others {
		key += "\x00" + p.Name + "\x00" + p.Value
	}
	t := c.series[key]
	if t == nil {
		if len(c.series) >= c.cfg.MaxSeries {
			c.sweep(now)
		}
		if len(c.series) >= c.cfg.MaxSeries {
			c.left++
			return
		}
		t = &total{label: label, others: others}
		c.series[key] = t
	}
	t.sent += more.sent
	t.received += more.received
	t.used = now
}

// since gives what is new. An entry that was overtaken by a later one has nothing.
func (a amount) since(before amount) amount {
	out := amount{}
	if a.sent > before.sent {
		out.sent = a.sent - before.sent
	}
	if a.received > before.received {
		out.received = a.received - before.received
	}
	return out
}

// sweep takes away what is of no use any more, once a second at most, and tells whether another connection can be
// followed.
func (c *Counter) sweep(now time.Time) bool {
	if now.Sub(c.swept) >= time.Second {
		c.swept = now
		c.forget(now)
		maps.DeleteFunc(c.open, func(_ uint64, f followed) bool { return now.Sub(f.at) > silent })
	}
	return len(c.open) < c.cfg.MaxOpen
}

// forget takes idle series away.
func (c *Counter) forget(now time.Time) {
	if c.cfg.Idle == 0 {
		return
	}
	for key, t := range c.series {
		if now.Sub(t.used) > c.cfg.Idle {
			delete(c.series, key)
		}
	}
}

// Totals gives all series that are not idle, in no order.
func (c *Counter) Totals() []Total {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(c.cfg.Now())
	out := make([]Total, 0, len(c.series))
	for _, t := range c.series {
		out = append(out, Total{t.label, t.others, t.sent, t.received})
	}
	return out
}

// LeftOut tells how many entries were not counted, since MaxSeries was reached.
func (c *Counter) LeftOut() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left
}
