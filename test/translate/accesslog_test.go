package translate

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	accesslogdata "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslog "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	otlp "go.opentelemetry.io/proto/otlp/common/v1"
	otlplogs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/grpc"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	realcollector "github.com/pilothouse-mesh/pilothouse/test/collector"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// logReceiver takes logs by Envoy's access log service and by OTLP.
type logReceiver struct {
	accesslog.UnimplementedAccessLogServiceServer
	port int

	mu          sync.Mutex
	requests    map[string][]*accesslogdata.HTTPAccessLogEntry // by the log's name
	connections map[string][]*accesslogdata.TCPAccessLogEntry
	records     map[string][]*otlplogs.LogRecord
}

func startLogReceiver(t *testing.T) *logReceiver {
	t.Helper()
	r := &logReceiver{
		requests: map[string][]*accesslogdata.HTTPAccessLogEntry{}, connections: map[string][]*accesslogdata.TCPAccessLogEntry{},
		records: map[string][]*otlplogs.LogRecord{},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.port = l.Addr().(*net.TCPAddr).Port
	server := grpc.NewServer()
	accesslog.RegisterAccessLogServiceServer(server, r)
	server.RegisterService(&logsService, r)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // it was stopped
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return r
}

func (r *logReceiver) StreamAccessLogs(stream accesslog.AccessLogService_StreamAccessLogsServer) error {
	name := ""
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if m.GetIdentifier() != nil { // the first of a stream has it
			name = m.GetIdentifier().GetLogName()
		}
		r.mu.Lock()
		r.requests[name] = append(r.requests[name], m.GetHttpLogs().GetLogEntry()...)
		r.connections[name] = append(r.connections[name], m.GetTcpLogs().GetLogEntry()...)
		r.mu.Unlock()
	}
}

// logsService is that of opentelemetry-proto, collector/logs/v1, whose request has on the wire the form of
// LogsData, and whose empty response is any message's.
var logsService = grpc.ServiceDesc{
	ServiceName: "opentelemetry.proto.collector.logs.v1.LogsService", HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: func(srv any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		logs := &otlplogs.LogsData{}
		if err := decode(logs); err != nil {
			return nil, err
		}
		r := srv.(*logReceiver)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, resource := range logs.GetResourceLogs() {
			name := texts(resource.GetResource().GetAttributes())["log_name"]
			for _, scope := range resource.GetScopeLogs() {
				r.records[name] = append(r.records[name], scope.GetLogRecords()...)
			}
		}
		return &otlplogs.LogsData{}, nil
	}}},
}

// texts gives attributes by name; one with attributes of its own as name.name.
func texts(attributes []*otlp.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range attributes {
		out[a.GetKey()] = a.GetValue().GetStringValue()
		for name, value := range texts(a.GetValue().GetKvlistValue().GetValues()) {
			out[a.GetKey()+"."+name] = value
		}
	}
	return out
}

// counts tells how many entries each log has.
func (r *logReceiver) counts() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int{}
	for name, all := range r.requests {
		out[name] += len(all)
	}
	for name, all := range r.connections {
		out[name] += len(all)
	}
	for name, all := range r.records {
		out[name] += len(all)
	}
	return out
}

const accessLogYAML = `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: logs, namespace: default}
spec: {hosts: [logs.example], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 9000, name: grpc, protocol: GRPC}], endpoints: [{address: 10.9.9.9}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders:
    - {name: requests, envoyHttpAls: {service: logs.example, port: 9000, logName: requests, additionalRequestHeadersToLog: [x-user], additionalResponseHeadersToLog: [content-type]}}
    - {name: connections, envoyTcpAls: {service: default/logs.example, port: 9000}}
    - {name: otel, envoyOtelAls: {service: logs.example, port: 9000, logName: otel, logFormat: {text: "%REQ(:PATH)% %BYTES_SENT%", labels: {code: "%RESPONSE_CODE%", client: {san: "%DOWNSTREAM_PEER_URI_SAN%"}}}}}
    - {name: plain, envoyOtelAls: {service: logs.example, port: 9000}}
    defaultProviders: {accessLogging: [plain]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: logs, namespace: default}
spec:
  accessLogging:
  - {match: {mode: CLIENT}, providers: [{name: requests}, {name: connections}]}
  - {match: {mode: SERVER}, providers: [{name: otel}]}
  - {match: {mode: SERVER}, providers: [{name: plain}], filter: {expression: response.code == 503}}
`

// logs is the cluster of the service that providers of tests name.
const logs = "outbound|9000||logs.example"

// logTwoHops sends a connection and two requests over two hops that log to a receiver, and waits for the entries that
// each log is to have, and no more. by puts another receiver between; nil for none.
func logTwoHops(t *testing.T, more string, by func(port int) int, want map[string]int) *logReceiver {
	t.Helper()
	receiver, httpPort, tcpPort := startLogReceiver(t), envoytest.FreePort(t), envoytest.FreePort(t)
	to := receiver.port
	if by != nil {
		to = by(to)
	}
	services, _, _ := strings.Cut(fmt.Sprintf(twoHopsYAML, httpPort, tcpPort), "---\napiVersion: v1\nkind: ConfigMap")
	input := services + more
	gate := envoytest.NewGate(t, "", envoytest.NewSecrets(t))
	labels := map[string]string{"app": "reviews", "version": "v1"}
	inbound := startHop(t, hopConfig{
		res:       translate(t, input, Proxy{Name: "reviews-v1-0", Labels: labels, IPs: []string{"10.0.1.1"}, LogService: true}),
		workload:  telemetry.WorkloadOf("reviews-v1", "default", "Kubernetes", labels),
		listeners: map[string][]int{model.VirtualInboundListener: {httpPort, tcpPort}},
		clusters:  map[string]int{fmt.Sprintf("inbound|%d||", tcpPort): echo(t), logs: to},
		own:       map[string]int{"envoy_accesslog_service": receiver.port},
		secrets:   gate.Socket,
	})
	client, raw := envoytest.FreePort(t), envoytest.FreePort(t)
	out := startHop(t, hopConfig{ // whose agent's configuration names no service
		res:       translate(t, input, Proxy{Labels: map[string]string{"app": "productpage"}}),
		workload:  telemetry.WorkloadOf("productpage-v1", "default", "Kubernetes", nil),
		listeners: map[string][]int{"0.0.0.0_9080": {client}, "10.96.0.2_9081": {raw}},
		clusters: map[string]int{
			outbound("", "reviews"): httpPort, "outbound|9081||reviews.default.svc.cluster.local": tcpPort, logs: to,
		},
		secrets: gate.Socket,
	})
	out.servers.addr = "127.0.0.1:" + strconv.Itoa(client)
	conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(raw))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	for _, path := range []string{"/open", "/fail"} {
		out.servers.get(t, "reviews:9080", path, http.Header{"X-User": {"alice"}})
		<-inbound.servers.requests
	}
	// A connection's entry of its beginning, which is not wanted, would be there before the one of its end.
	envoytest.Eventually(t, fmt.Sprint("entries: ", want), func() bool {
		got := receiver.counts()
		for name, n := range want {
			if got[name] < n {
				return false
			}
		}
		return true
	})
	if got := receiver.counts(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("entries: %v, want %v", got, want)
	}
	return receiver
}

const logServiceYAML = `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: logs, namespace: default}
spec: {hosts: [logs.example], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 9000, name: grpc, protocol: GRPC}], endpoints: [{address: 10.9.9.9}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "{enableEnvoyAccessLogService: true, defaultConfig: {envoyAccessLogService: {address: 'als.tools:9000'}}}"}
`

// What the mesh sends to an access log service comes of the proxy whose own configuration names one, under Istio's
// names of the logs, and none of the other one.
func TestLogsOfTheMeshGoToItsService(t *testing.T) {
	receiver := logTwoHops(t, logServiceYAML, nil, map[string]int{"http_envoy_accesslog": 2, "tcp_envoy_accesslog": 1})
	receiver.mu.Lock()
	defer receiver.mu.Unlock()
	if got := receiver.requests["http_envoy_accesslog"][1]; got.GetRequest().GetPath() != "/fail" || got.GetResponse().GetResponseCode().GetValue() != 503 {
		t.Errorf("the second request is told as %v", got)
	}
	if got := receiver.connections["tcp_envoy_accesslog"][0].GetConnectionProperties(); got.GetReceivedBytes() != 5 || got.GetSentBytes() != 5 {
		t.Errorf("the connection is told as %v", got)
	}
}

// Requests and connections over two hops are told to the providers of each side, once each, with what these ask
// for; the side that has others tells them nothing.
func TestProvidersOfAccessLogs(t *testing.T) {
	receiver := logTwoHops(t, accessLogYAML, nil, map[string]int{"requests": 2, "tcp_envoy_accesslog": 1, "otel": 3, "otel_envoy_accesslog": 1})
	receiver.mu.Lock()
	defer receiver.mu.Unlock()
	for i, request := range receiver.requests["requests"] {
		got := fmt.Sprintf("%s %d %s %s %v", request.GetRequest().GetPath(), request.GetResponse().GetResponseCode().GetValue(),
			request.GetCommonProperties().GetUpstreamCluster(), request.GetRequest().GetRequestHeaders()["x-user"], request.GetResponse().GetResponseHeaders())
		if want := []string{"/open 200 ", "/fail 503 "}[i] + outbound("", "reviews") + " alice map["; !strings.HasPrefix(got, want) {
			t.Errorf("a request is told as %s, want %s", got, want)
		}
	}
	connection := receiver.connections["tcp_envoy_accesslog"][0]
	if p := connection.GetConnectionProperties(); p.GetReceivedBytes() != 5 || p.GetSentBytes() != 5 || connection.GetCommonProperties().GetUpstreamCluster() != "outbound|9081||reviews.default.svc.cluster.local" {
		t.Errorf("the connection is told as %v", connection)
	}
	var records []string
	for _, r := range receiver.records["otel"] {
		attributes := texts(r.GetAttributes())
		records = append(records, strings.Fields(r.GetBody().GetStringValue())[0]+" "+attributes["code"]+" "+attributes["client.san"])
	}
	slices.Sort(records) // a connection's end comes when it comes
	const san = " spiffe://cluster.local/ns/default/sa/test"
	if got, want := strings.Join(records, "\n"), "- 0"+san+"\n/fail 503"+san+"\n/open 200"+san; got != want {
		t.Errorf("records:\n%s\nwant:\n%s", got, want)
	}
	if body := receiver.records["otel_envoy_accesslog"][0].GetBody().GetStringValue(); !strings.Contains(body, `"GET /fail HTTP/1.1" 503 `) || strings.HasSuffix(body, "\n") {
		t.Errorf("the record of the default format is %q", body)
	}
}

// A real collector takes what both sides log, of requests and of connections.
func TestAccessLogsAtARealCollector(t *testing.T) {
	mesh, _, _ := strings.Cut(accessLogYAML, "---\napiVersion: telemetry.istio.io/v1")
	receiver := logTwoHops(t, mesh, func(port int) int { return realcollector.Start(t, port).GRPC }, map[string]int{"otel_envoy_accesslog": 6})
	receiver.mu.Lock()
	defer receiver.mu.Unlock()
	failed := 0
	for _, r := range receiver.records["otel_envoy_accesslog"] {
		if strings.Contains(r.GetBody().GetStringValue(), `"GET /fail HTTP/1.1" 503 `) {
			failed++
		}
	}
	if failed != 2 {
		t.Errorf("%d records of the request that failed, want one of each side", failed)
	}
}
