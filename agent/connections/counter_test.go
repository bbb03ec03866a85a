package connections

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// clock is set by hand.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// labelOf gives the tag of a connection to a host, and the series that it names.
func labelOf(id, host string) string {
	return telemetry.Format(telemetry.Source, id, nil, telemetry.TCPFields(host, "-", "", "")...)
}

func message(t *testing.T, entries ...*datav3.TCPAccessLogEntry) []byte {
	t.Helper()
	data, err := proto.Marshal(&accesslogv3.StreamAccessLogsMessage{
		Identifier: &accesslogv3.StreamAccessLogsMessage_Identifier{LogName: telemetry.BytesLog},
		LogEntries: &accesslogv3.StreamAccessLogsMessage_TcpLogs{TcpLogs: &accesslogv3.StreamAccessLogsMessage_TCPAccessLogEntries{LogEntry: entries}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func at(id, host string, kind datav3.AccessLogType, sent, received uint64) *datav3.TCPAccessLogEntry {
	return &datav3.TCPAccessLogEntry{
		CommonProperties: &datav3.AccessLogCommon{
			CustomTags: map[string]string{"other": "x", telemetry.Label: labelOf(id, host)}, AccessLogType: kind, StreamId: "s",
		},
		ConnectionProperties: &datav3.ConnectionProperties{SentBytes: sent, ReceivedBytes: received},
	}
}

func periodic(id, host string, sent, received uint64) *datav3.TCPAccessLogEntry {
	return at(id, host, datav3.AccessLogType_TcpPeriodic, sent, received)
}

func end(id, host string, sent, received uint64) *datav3.TCPAccessLogEntry {
	return at(id, host, datav3.AccessLogType_TcpConnectionEnd, sent, received)
}

func want(t *testing.T, c *Counter, when string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for _, total := range c.Totals() {
		got[total.Label] = fmt.Sprint(total.Sent, "/", total.Received)
	}
	byLabel := map[string]string{}
	for host, value := range want {
		byLabel[labelOf("", host)] = value
	}
	if !maps.Equal(got, byLabel) {
		t.Errorf("%s: %v, want %v", when, got, byLabel)
	}
}

func counter(open, series int, idle time.Duration) (*Counter, *clock) {
	c := &clock{now: time.Unix(1e9, 0)}
	return New(Config{MaxOpen: open, MaxSeries: series, Idle: idle, Now: c.Now}), c
}

// Each byte counts once, as soon as it is told, also where a connection has no entry but its last, and where its
// labels change at its end.
func TestEachByteCountsOnce(t *testing.T) {
	c, _ := counter(10, 10, 0)
	c.Take(message(t, periodic("1", "a", 10, 1), periodic("2", "a", 5, 5), end("3", "b", 7, 0)))
	want(t, c, "open", map[string]string{"a": "15/6", "b": "7/0"})
	c.Take(message(t, periodic("1", "a", 10, 1)))
	c.Take(message(t, periodic("1", "a", 30, 2), periodic("1", "a", 20, 1)))
	want(t, c, "an entry that comes late adds nothing", map[string]string{"a": "35/7", "b": "7/0"})
	c.Take(message(t, end("1", "c", 45, 4), end("2", "a", 5, 5)))
	if len(c.open) != 0 {
		t.Errorf("connections that have ended are followed: %v", c.open)
	}
}

func TestConnectionsBeyondTheLimitCountAtTheirEnd(t *testing.T) {
	c, _ := counter(1, 10, 0)
	c.Take(message(t, periodic("1", "a", 1, 0), periodic("2", "a", 10, 0)))
	want(t, c, "open", map[string]string{"a": "1/0"})
	c.Take(message(t, end("2", "a", 20, 0), periodic("1", "a", 2, 0)))
	want(t, c, "ended", map[string]string{"a": "22/0"})
}

// An entry that says nothing yet takes no place, and a connection whose end was lost does not keep its own for ever.
func TestPlacesAreNotLost(t *testing.T) {
	c, clock := counter(1, 10, 0)
	c.Take(message(t, periodic("1", "a", 0, 0)))
	want(t, c, "before the first byte", map[string]string{})
	clock.now = clock.now.Add(silent + time.Second)
	c.Take(message(t, periodic("2", "b", 3, 0)))
	want(t, c, "a day later", map[string]string{"b": "3/0"})
}

// Envoy leaves out tags without a value.
func TestALabelWithoutAValueIsThere(t *testing.T) {
	c, _ := counter(1, 10, 0)
	e := end("1", "a", 1, 0)
	e.CommonProperties.CustomTags = map[string]string{telemetry.Label: labelOf("1", "a"), "none": telemetry.HasValue, "one": telemetry.HasValue + "=1"}
	c.Take(message(t, e))
	if got := c.Totals(); len(got) != 1 || !slices.Equal(got[0].Others, []telemetry.Pair{{Name: "none"}, {Name: "one", Value: "=1"}}) {
		t.Errorf("%v", got)
	}
}

func TestSeriesAreBounded(t *testing.T) {
	c, clock := counter(10, 2, time.Minute)
	c.Take(message(t, periodic("1", "a", 1, 0), periodic("2", "b", 1, 0), periodic("3", "c", 1, 0)))
	if want(t, c, "full", map[string]string{"a": "1/0", "b": "1/0"}); c.LeftOut() != 1 {
		t.Errorf("%d are left out", c.LeftOut())
	}
	clock.now = clock.now.Add(time.Minute)
	c.Take(message(t, periodic("1", "a", 1, 0))) // an open connection is not idle, though nothing passes
	clock.now = clock.now.Add(time.Second)
	c.Take(message(t, periodic("3", "c", 5, 0)))
	want(t, c, "after the idle time", map[string]string{"a": "1/0", "c": "4/0"})
	clock.now = clock.now.Add(time.Hour)
	want(t, c, "much later", map[string]string{})
}

// What bounds the series, and what was left out for it, is seen where metrics are read.
func TestBoundsAreMetrics(t *testing.T) {
	c, _ := counter(10, 1, time.Minute)
	registry := prometheus.NewRegistry()
	c.Register(registry)
	c.Take(message(t, periodic("1", "a", 1, 0), periodic("2", "b", 1, 0)))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
	}
	if want := map[string]float64{
		"istio_agent_stats_series_limit": 1, "istio_agent_stats_eviction_seconds": 60, "istio_agent_connection_entries_left_out_total": 1,
	}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Messages of others, and what is none, count nothing.
func FuzzTake(f *testing.F) {
	f.Add([]byte("\x1a\x05\x0a\x03\x0a\x01\x08"))
	f.Add([]byte(strings.Repeat("\xff", 20)))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _ := counter(10, 10, 0)
		c.Take(data)
		if len(c.Totals()) > 0 && !IsLog(data) {
			t.Error("counted what is no log of connections")
		}
	})
}
