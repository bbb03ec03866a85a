package translate

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// span is what a collector got.
type span struct {
	trace, id, parent, name, service string
	tags                             map[string]string
	kind                             string // SERVER or CLIENT; as OpenTelemetry numbers it, 2 or 3
}

// collector takes spans by OTLP, over gRPC and HTTP, as Zipkin's JSON, and as the agents of Datadog and
// SkyWalking do.
type collector struct {
	t     *testing.T
	port  int
	mu    sync.Mutex
	spans []span
	token string // of the last request over HTTP that had one
	// resources are what OTLP says of who sent spans, by the service's name.
	resources map[string]map[string]string
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{t: t, resources: map[string]map[string]string{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.port = l.Addr().(*net.TCPAddr).Port
	server := &http.Server{Handler: c, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // it was closed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == segmentsPath {
		c.segments(r.Body)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the Envoy was ended
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = cmp.Or(r.Header.Get("X-Token"), c.token)
	switch {
	case r.URL.Path == "/api/v2/spans":
		c.zipkin(body)
		w.WriteHeader(http.StatusAccepted)
	case r.URL.Path == datadogPath:
		c.datadog(body)
		_, _ = io.WriteString(w, "{}")
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		for len(body) >= 5 {
			n := int(uint32(body[1])<<24 | uint32(body[2])<<16 | uint32(body[3])<<8 | uint32(body[4]))
			c.otlp(body[5 : 5+n])
			body = body[5+n:]
		}
		_, _ = w.Write(make([]byte, 5)) // an empty message
		w.Header().Set("Grpc-Status", "0")
	default:
		c.otlp(body)
	}
}

func (c *collector) zipkin(body []byte) {
	var list []struct {
		TraceID, ID, ParentID, Name, Kind string
		LocalEndpoint                     struct{ ServiceName string }
		Tags                              map[string]string
	}
	if err := json.Unmarshal(body, &list); err != nil {
		c.t.Errorf("spans %s: %v", body, err)
	}
	for _, s := range list {
		c.spans = append(c.spans, span{s.TraceID, s.ID, s.ParentID, s.Name, s.LocalEndpoint.ServiceName, s.Tags, s.Kind})
	}
}

// otlp reads an ExportTraceServiceRequest (opentelemetry-proto, collector/trace/v1).
func (c *collector) otlp(request []byte) {
	fields(request, func(_ protowire.Number, resourceSpans []byte) {
		resource, scopes := map[string]string{}, [][]byte{} // in whatever order they come
		fields(resourceSpans, func(n protowire.Number, v []byte) {
			switch n {
			case 1: // resource
				fields(v, func(_ protowire.Number, kv []byte) {
					key, value := attribute(kv)
					resource[key] = value
				})
			case 2: // scope spans
				scopes = append(scopes, v)
			}
		})
		service := resource["service.name"]
		c.resources[service] = resource
		for _, scope := range scopes {
			fields(scope, func(n protowire.Number, one []byte) {
				if n == 2 {
					c.spans = append(c.spans, otlpSpan(one, service))
				}
			})
		}
	})
}

func otlpSpan(data []byte, service string) span {
	s := span{service: service, tags: map[string]string{}}
	fields(data, func(n protowire.Number, v []byte) {
		switch n {
		case 1:
			s.trace = hex.EncodeToString(v)
		case 2:
			s.id = hex.EncodeToString(v)
		case 4:
			s.parent = hex.EncodeToString(v)
		case 5:
			s.name = string(v)
		case 6:
			s.kind = map[string]string{"\x02": "SERVER", "\x03": "CLIENT"}[string(v)]
		case 9:
			key, value := attribute(v)
			s.tags[key] = value
		}
	})
	return s
}

// attribute reads a KeyValue whose value is a text.
func attribute(kv []byte) (key, value string) {
	fields(kv, func(n protowire.Number, v []byte) {
		if n == 1 {
			key = string(v)
			return
		}
		fields(v, func(_ protowire.Number, text []byte) { value = string(text) })
	})
	return key, value
}

// fields visits the fields of a message; a number is given as its bytes.
func fields(data []byte, visit func(protowire.Number, []byte)) {
	for len(data) > 0 {
		n, kind, size := protowire.ConsumeTag(data)
		if size < 0 {
			return
		}
		data = data[size:]
		var value []byte
		if size = protowire.ConsumeFieldValue(n, kind, data); size < 0 {
			return
		}
		if value = data[:size]; kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(data)
		}
		visit(n, value)
		data = data[size:]
	}
}

// await gives the spans of a trace when there are two of them with a kind each.
func (c *collector) await(trace string) (client, server span) {
	c.t.Helper()
	envoytest.Eventually(c.t, "both proxies' spans of "+trace, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		client, server = span{}, span{}
		for _, s := range c.spans {
			if s.trace == trace && s.kind == "CLIENT" {
				client = s
			} else if s.trace == trace && s.kind == "SERVER" {
				server = s
			}
		}
		return client.id != "" && server.id != ""
	})
	return client, server
}
