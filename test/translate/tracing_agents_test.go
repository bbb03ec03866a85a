package translate

import (
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// Where Datadog's agent takes spans, and SkyWalking's (its data collect protocol, language-agent/Tracing.proto).
const (
	datadogPath  = "/v0.4/traces"
	segmentsPath = "/skywalking.v3.TraceSegmentReportService/collect"
)

// datadog reads a list of traces, each a list of spans, in MessagePack.
func (c *collector) datadog(body []byte) {
	decoded, _ := messagePack(body)
	traces, _ := decoded.([]any)
	for _, trace := range traces {
		spans, _ := trace.([]any)
		for _, one := range spans {
			s, _ := one.(map[string]any)
			tags := map[string]string{}
			meta, _ := s["meta"].(map[string]any)
			for name, value := range meta {
				tags[name] = fmt.Sprint(value)
			}
			c.spans = append(c.spans, span{
				trace: fmt.Sprint(s["trace_id"]), id: fmt.Sprint(s["span_id"]), parent: fmt.Sprint(s["parent_id"]),
				name: fmt.Sprint(s["resource"]), service: fmt.Sprint(s["service"]), tags: tags,
			})
		}
	}
}

// messagePack reads one value (the MessagePack specification): nil, a bool, a uint64, a text, a list or a map. Of
// numbers with a fraction it gives the bits.
func messagePack(data []byte) (value any, rest []byte) {
	if len(data) == 0 {
		return nil, nil
	}
	b, data := data[0], data[1:]
	number := func(bytes int) uint64 {
		if len(data) < bytes {
			bytes = len(data)
		}
		var wide [8]byte
		copy(wide[8-bytes:], data[:bytes])
		data = data[bytes:]
		return binary.BigEndian.Uint64(wide[:])
	}
	switch {
	case b < 0x80:
		return uint64(b), data
	case b < 0x90:
		return messagePackMap(data, uint64(b&0x0f))
	case b < 0xa0:
		return messagePackList(data, uint64(b&0x0f))
	case b < 0xc0:
		return string(data[:b&0x1f]), data[b&0x1f:]
	case b == 0xc2 || b == 0xc3:
		return b == 0xc3, data
	case b == 0xca || b == 0xcb:
		return number(4 << (b - 0xca)), data
	case b >= 0xcc && b <= 0xcf:
		return number(1 << (b - 0xcc)), data
	case b >= 0xd0 && b <= 0xd3:
		return number(1 << (b - 0xd0)), data
	case b >= 0xd9 && b <= 0xdb:
		n := number(1 << (b - 0xd9))
		return string(data[:n]), data[n:]
	case b == 0xdc || b == 0xdd:
		return messagePackList(data, number(2<<(b-0xdc)))
	case b == 0xde || b == 0xdf:
		return messagePackMap(data, number(2<<(b-0xde)))
	}
	return nil, data // 0xc0
}

func messagePackList(data []byte, n uint64) (list []any, rest []byte) {
	for range n {
		var v any
		v, data = messagePack(data)
		list = append(list, v)
	}
	return list, data
}

func messagePackMap(data []byte, n uint64) (object map[string]any, rest []byte) {
	object = map[string]any{}
	for range n {
		var k, v any
		k, data = messagePack(data)
		v, data = messagePack(data)
		object[fmt.Sprint(k)] = v
	}
	return object, data
}

// segments reads a stream of SegmentObjects until it ends.
func (c *collector) segments(stream io.Reader) {
	for {
		var head [5]byte
		if _, err := io.ReadFull(stream, head[:]); err != nil {
			return // the Envoy was ended
		}
		message := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(stream, message); err != nil {
			return
		}
		s := span{tags: map[string]string{}}
		fields(message, func(n protowire.Number, v []byte) {
			switch n {
			case 1:
				s.trace = string(v)
			case 2:
				s.id = string(v)
			case 3: // the span of the server's side is the segment's; it has what it is called, and whom it refers to
				segmentSpan(v, &s)
			case 4:
				s.service = string(v)
			}
		})
		c.mu.Lock()
		c.spans = append(c.spans, s)
		c.mu.Unlock()
	}
}

func segmentSpan(data []byte, s *span) {
	fields(data, func(n protowire.Number, v []byte) {
		switch n {
		case 5: // a reference
			fields(v, func(n protowire.Number, v []byte) {
				if n == 3 {
					s.parent = string(v)
				}
			})
		case 6:
			s.name = string(v)
		case 12:
			key, value := "", ""
			fields(v, func(n protowire.Number, v []byte) {
				if n == 1 {
					key = string(v)
				} else {
					value = string(v)
				}
			})
			s.tags[key] = value
		}
	})
}

// awaitServices gives a span of each proxy when both are there.
func (c *collector) awaitServices() (client, server span) {
	c.t.Helper()
	envoytest.Eventually(c.t, "a span of each proxy", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range c.spans {
			switch s.service {
			case "productpage.default":
				client = s
			case "reviews.default":
				server = s
			}
		}
		return client.id != "" && server.id != ""
	})
	return client, server
}

// Datadog's and SkyWalking's agents get one trace of two proxies, whose services have their names.
func TestTracesGoToAgents(t *testing.T) {
	for name, tc := range map[string]struct{ protocol, provider, operation string }{
		"datadog": {"HTTP", "datadog: {service: collector.example, port: 9000}", "reviews.default.svc.cluster.local:9080/*"},
		// SkyWalking's spans are named by the path.
		"skywalking": {"GRPC", "skywalking: {service: default/collector.example, port: 9000, accessToken: a}", "/"},
	} {
		t.Run(name, func(t *testing.T) {
			c, client, inbound := tracedHops(t, hopTraces{protocol: tc.protocol, provider: tc.provider, sampling: 100})
			client.servers.get(t, "reviews:9080", "/", nil)
			<-inbound.servers.requests
			first, second := c.awaitServices()
			if first.trace != second.trace || second.parent != first.id {
				t.Errorf("the spans do not join: %+v, %+v", first, second)
			}
			for _, s := range []span{first, second} {
				if s.name != tc.operation || s.tags["literal"] != "here" {
					t.Errorf("a span is %+v", s)
				}
			}
		})
	}
}
