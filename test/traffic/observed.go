package traffic

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	filelog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// logLine is what Envoy's log says of a call.
type logLine struct {
	At       string `json:"at"`   // http, tcp or listener
	Port     int    `json:"port"` // of the client
	Call     string `json:"call"`
	Cluster  string `json:"cluster"`
	Flags    string `json:"flags"`
	Upstream string `json:"upstream"`
	Attempts int    `json:"attempts"`
}

func logger(at, path string) (*accesslog.AccessLog, error) {
	format := map[string]any{
		"at": at, "port": "%DOWNSTREAM_REMOTE_PORT%", "call": "%REQ(X-CALL)%", "cluster": "%UPSTREAM_CLUSTER_RAW%", "flags": "%RESPONSE_FLAGS%",
		"upstream": "%UPSTREAM_REMOTE_ADDRESS%", "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
	}
	fields, err := structpb.NewStruct(format)
	if err != nil {
		return nil, err
	}
	packed, err := anypb.New(&filelog.FileAccessLog{Path: path, AccessLogFormat: &filelog.FileAccessLog_LogFormat{
		LogFormat: &core.SubstitutionFormatString{Format: &core.SubstitutionFormatString_JsonFormat{JsonFormat: fields}},
	}})
	if err != nil {
		return nil, err
	}
	return &accesslog.AccessLog{Name: "traffic", ConfigType: &accesslog.AccessLog_TypedConfig{TypedConfig: packed}}, nil
}

// logged has listeners write a line for each request and connection.
func logged(listeners map[string]proto.Message, path string) error {
	for name, m := range listeners {
		l := proto.Clone(m).(*listenerv3.Listener)
		line, err := logger("listener", path)
		if err != nil {
			return err
		}
		l.AccessLog = append(l.AccessLog, line)
		for _, chain := range append(slices.Clone(l.FilterChains), l.DefaultFilterChain) {
			for _, f := range chain.GetFilters() {
				if err := logFilter(f, path); err != nil {
					return fmt.Errorf("listener %s: %w", name, err)
				}
			}
		}
		listeners[name] = l
	}
	return nil
}

func logFilter(f *listenerv3.Filter, path string) error {
	m, t := &hcm.HttpConnectionManager{}, &tcpproxy.TcpProxy{}
	var changed proto.Message
	switch packed := f.GetTypedConfig(); {
	case packed.MessageIs(m):
		line, err := logger("http", path)
		if err != nil {
			return err
		}
		if err := packed.UnmarshalTo(m); err != nil {
			return err
		}
		m.AccessLog = append(m.AccessLog, line)
		changed = m
	case packed.MessageIs(t):
		line, err := logger("tcp", path)
		if err != nil {
			return err
		}
		if err := packed.UnmarshalTo(t); err != nil {
			return err
		}
		t.AccessLog = append(t.AccessLog, line)
		changed = t
	default:
		return nil
	}
	packed, err := anypb.New(changed)
	f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed}
	return err
}

// mostSamples bounds how often a call is made for the sake of shares of clusters, and counted is how often for those of
// servers.
const mostSamples, counted = 400, 100

// sample makes a call, again and again until all clusters that are wanted were asked, and until servers are counted.
func (r *runner) sample(t *testing.T, call *Call, number int) *result {
	t.Helper()
	want := call.Want.shares()
	out := r.call(t, call, fmt.Sprintf("%d-0", number))
	more := func(i int) bool {
		return len(out.clusters) < len(want) && i < mostSamples || call.Want.Servers != nil && i < counted
	}
	for i := 1; more(i); i++ {
		next := r.call(t, call, fmt.Sprintf("%d-%d", number, i))
		for name := range next.clusters {
			out.clusters[name] = 0
		}
		out.endpoints = append(out.endpoints, next.endpoints...)
	}
	out.servers = map[string]float64{}
	for _, address := range out.endpoints {
		out.servers[address] += 100 / float64(len(out.endpoints))
	}
	return out
}

// call makes a call and gives what came of it.
func (r *runner) call(t *testing.T, call *Call, id string) *result {
	t.Helper()
	before := len(readable(r.logs))
	g, err := r.send(t.Context(), call, id)
	if err != nil {
		t.Fatalf("%s: %v", call.Call, err)
	}
	empty := ""
	out := &result{
		status: g.status, closed: g.closed, sampled: true, clusters: map[string]float64{}, body: &g.body, location: &empty,
		response: func(name string) *string { return new(g.header.Get(name)) }, presented: &g.presented,
	}
	if g.header != nil {
		out.location = new(g.header.Get("Location"))
	}
	if overUDP := call.request.Protocol == explain.HTTP3; g.port != 0 || overUDP && !g.closed {
		about := fmt.Sprintf("the client's port %d", g.port)
		line := r.line(t, about, before, func(l *logLine) bool { return l.Port == g.port && !overUDP || overUDP && l.Call == id })
		out.flags = commas(line.Flags)
		if line.Cluster != "" {
			out.clusters[line.Cluster] = 100
		}
		if line.Attempts > 0 {
			out.attempts = &line.Attempts
		}
	}
	if saw := g.seen; saw != nil {
		out.saw(saw, g.passthrough)
	}
	for _, m := range call.Want.Mirrors {
		out.mirrors, out.mirrored = append(out.mirrors, cluster(m)), &r.mirrored(t, cluster(m), id).Host
	}
	return out
}

// saw notes what the server saw.
func (o *result) saw(s *seen, passthrough bool) {
	o.endpoints, o.protocol, o.body = []string{s.Address}, &s.Protocol, nil
	o.path, o.host, o.proxy, o.tunnel = &s.Path, &s.Host, &s.Proxy, &s.Tunnel
	o.request = func(name string) *string { return new(strings.Join(s.Header.Values(name), ",")) }
	layers := s.Layers
	mode, sni := "none", ""
	if len(layers) > 0 {
		sni = layers[0].SNI
	}
	if passthrough {
		layers = layers[:len(layers)-1] // the client's own
	}
	if len(layers) > 0 {
		mode = map[bool]string{true: "mutual", false: "simple"}[layers[0].Mutual]
	}
	o.tls, o.sni = &mode, &sni
}

// line waits for what the log says of a call, past its first bytes: an earlier connection may have been from the same
// port.
func (r *runner) line(t *testing.T, what string, first int, is func(*logLine) bool) *logLine {
	t.Helper()
	var out *logLine
	envoytest.Eventually(t, "a line of the log about "+what, func() bool {
		for text := range strings.Lines(readable(r.logs)[first:]) {
			l := &logLine{}
			if json.Unmarshal([]byte(text), l) == nil && is(l) && (out == nil || l.At != "listener") {
				out = l
			}
		}
		return out != nil
	})
	return out
}

// mirrored waits until a server of a cluster has seen a copy of a call, and gives what it saw.
func (r *runner) mirrored(t *testing.T, name, id string) (copied *seen) {
	t.Helper()
	a, _ := r.endpoints[name].(*endpointv3.ClusterLoadAssignment)
	var addresses []string
	for _, l := range a.GetEndpoints() {
		for _, e := range l.GetLbEndpoints() {
			s := e.GetEndpoint().GetAddress().GetSocketAddress()
			addresses = append(addresses, fmt.Sprintf("%s:%d", s.GetAddress(), s.GetPortValue()))
		}
	}
	envoytest.Eventually(t, "a copy of the call at "+name, func() bool {
		all := r.stub.of(id)
		at := slices.IndexFunc(all, func(s *seen) bool { return slices.Contains(addresses, s.Address) })
		if at >= 0 {
			copied = all[at]
		}
		return at >= 0
	})
	return copied
}

// readable is for reading a file that may not be there yet.
func readable(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text)
}
