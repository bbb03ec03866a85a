package translate

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// The metrics whose values do not depend on time.
var (
	metricRequests = []string{"istio_requests_total", "istio_request_duration_milliseconds_count", "istio_request_bytes_count", "istio_response_bytes_count"}
	metricMessages = []string{"istio_request_messages_total", "istio_response_messages_total"}
	metricTCP      = []string{
		"istio_tcp_connections_opened_total", "istio_tcp_connections_closed_total", "istio_tcp_sent_bytes_total", "istio_tcp_received_bytes_total",
	}
)

const twoHopsYAML = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {clusterIP: 10.96.0.2, selector: {app: reviews}, ports: [{name: http, port: 9080, targetPort: %[1]d}, {name: tcp, port: 9081, targetPort: %[2]d}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: reviews-v1-0
  namespace: default
  labels: {app: reviews, version: v1, pod-template-hash: 6d4b5c7f9d, security.istio.io/tlsMode: istio}
  annotations: {telemetry.pilothouse.io/peers: short}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: reviews-v1-6d4b5c7f9d, uid: x, controller: true}]
spec: {serviceAccountName: test, containers: [{name: app, image: x}]}
status: {podIP: 10.0.1.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
`

// oftenYAML has open connections told every tenth of a second.
const oftenYAML = `
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: often, namespace: istio-system}
spec: {metrics: [{reportingInterval: 0.1s}]}
`

// metered is two sidecars with mutual TLS between productpage and reviews.
type metered struct {
	out, in *hop
	raw     int // where the client's takes connections to reviews' port of TCP
}

// startMetered runs them, with lines of the mesh's configuration and objects that are about them. Servers of the test's
// own are by cluster, or "app" for reviews' own of HTTP.
func startMetered(t *testing.T, mesh, objects string, servers map[string]int) metered {
	t.Helper()
	httpPort, tcpPort := envoytest.FreePort(t), envoytest.FreePort(t)
	input := strings.Replace(fmt.Sprintf(twoHopsYAML, httpPort, tcpPort), `{mode: REGISTRY_ONLY}`, `{mode: REGISTRY_ONLY}\n`+mesh, 1) + objects
	gate := envoytest.NewGate(t, "", envoytest.NewSecrets(t))
	workload := func(name string, labels map[string]string) telemetry.Workload {
		w := telemetry.WorkloadOf(name, "default", "Kubernetes", labels)
		w.Principal = "spiffe://cluster.local/ns/default/sa/test"
		return w
	}
	labels := map[string]string{"app": "reviews", "version": "v1"}
	in := hopConfig{
		res:       translate(t, input, Proxy{Name: "reviews-v1-0", Labels: labels, IPs: []string{"10.0.1.1"}}),
		workload:  workload("reviews-v1", labels),
		listeners: map[string][]int{model.VirtualInboundListener: {httpPort, tcpPort}},
		clusters:  map[string]int{fmt.Sprintf("inbound|%d||", tcpPort): echo(t)},
		secrets:   gate.Socket,
	}
	client, raw := envoytest.FreePort(t), envoytest.FreePort(t)
	labels = map[string]string{"app": "productpage"}
	out := hopConfig{
		res:       translate(t, input, Proxy{Labels: labels}),
		workload:  workload("productpage-v1", labels),
		listeners: map[string][]int{"0.0.0.0_9080": {client}, "10.96.0.2_9081": {raw}},
		clusters:  map[string]int{outbound("", "reviews"): httpPort, "outbound|9081||reviews.default.svc.cluster.local": tcpPort},
		secrets:   gate.Socket,
	}
	for name, port := range servers {
		if name == "app" {
			in.clusters[fmt.Sprintf("inbound|%d||", httpPort)] = port
		} else {
			in.clusters[name], out.clusters[name] = port, port
		}
	}
	m := metered{startHop(t, out), startHop(t, in), raw}
	m.out.servers.addr = "127.0.0.1:" + strconv.Itoa(client)
	return m
}

// What two sidecars report of the same requests and connections over mutual TLS has Istio's names, labels
// and values on both sides; a workload does not see who its caller's proxy is.
func TestMetricsOverTwoHops(t *testing.T) {
	m := startMetered(t, `accessLogFile: /dev/stdout`, oftenYAML, nil)
	outbound, inbound, raw := m.out, m.in, m.raw
	header := http.Header{telemetry.PeerHeader: {"forged"}, telemetry.PeerIDHeader: {"forged"}}
	for path, code := range map[string]int{"/": 200, "/fail": 503} {
		res, _ := outbound.servers.get(t, "reviews:9080", path, header.Clone())
		if seen := <-inbound.servers.requests; res.StatusCode != code || len(seen.Header.Values(telemetry.PeerHeader))+len(seen.Header.Values(telemetry.PeerIDHeader)) > 0 {
			t.Errorf("%s: status %d, the workload saw %v", path, res.StatusCode, seen.Header)
		}
	}
	if res, _ := outbound.servers.get(t, "nowhere.example.com", "/", nil); res.StatusCode != 502 {
		t.Errorf("an unknown host gets %d", res.StatusCode)
	}
	call := http.Header{"Content-Type": {"application/grpc"}}
	outbound.servers.send(t, http.MethodPost, "reviews:9080", "/p.S/Call", call, bytes.NewReader(make([]byte, 5)))

	const (
		sourceWorkload      = ` source_workload="productpage-v1" source_workload_namespace="default" source_canonical_service="productpage" source_canonical_revision="latest" source_cluster="Kubernetes" source_app="productpage" source_version="unknown"`
		destinationWorkload = ` destination_workload="reviews-v1" destination_workload_namespace="default" destination_canonical_service="reviews" destination_canonical_revision="v1" destination_cluster="Kubernetes" destination_app="reviews" destination_version="v1" destination_service="reviews.default.svc.cluster.local" destination_service_name="reviews" destination_service_namespace="default"`
		principals          = ` source_principal="spiffe://cluster.local/ns/default/sa/test" destination_principal="spiffe://cluster.local/ns/default/sa/test"`
		known               = sourceWorkload + destinationWorkload + principals
		source              = ` reporter="source" connection_security_policy="unknown"`
		destination         = ` reporter="destination" connection_security_policy="mutual_tls"`
		unknown             = ` destination_workload="unknown" destination_workload_namespace="unknown" destination_canonical_service="unknown" destination_canonical_revision="latest" destination_cluster="unknown" destination_app="unknown" destination_version="unknown" destination_service="unknown" destination_service_name="BlackHoleCluster" destination_service_namespace="unknown" source_principal="unknown" destination_principal="unknown"`
	)
	ok := known + ` request_protocol="http" response_code="200" response_flags="-"`
	failed := known + ` request_protocol="http" response_code="503" response_flags="-"`
	called := known + ` request_protocol="grpc" response_code="200" response_flags="-" grpc_response_status="0"`
	dropped := sourceWorkload + unknown + ` request_protocol="http" response_code="502" response_flags="-"`
	each := func(names []string, value string, series ...string) map[string]string {
		out := map[string]string{}
		for _, name := range names {
			for _, s := range series {
				out[name+s] = value
			}
		}
		return out
	}
	outbound.want(metricRequests, each(metricRequests, "1", source+ok, source+failed, source+called, source+dropped))
	inbound.want(metricRequests, each(metricRequests, "1", destination+ok, destination+failed, destination+called))
	messages := func(side string) map[string]string {
		return map[string]string{metricMessages[0] + side + called: "1", metricMessages[1] + side + called: "0"}
	}
	outbound.want(metricMessages, messages(source))
	inbound.want(metricMessages, messages(destination))

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
	// A connection says of its client only what the certificate proves.
	const proven = ` source_workload="unknown" source_workload_namespace="default" source_canonical_service="unknown" source_canonical_revision="latest" source_cluster="unknown" source_app="unknown" source_version="unknown"`
	const tcp = ` request_protocol="tcp" response_flags="-"`
	sides := map[*hop]string{outbound: source + known + tcp, inbound: destination + proven + destinationWorkload + principals + tcp}
	for h, labels := range sides { // while it is open
		open := each(metricTCP[:1], "1", labels)
		maps.Copy(open, each(metricTCP[2:], "5", labels))
		h.want(metricTCP, open)
	}
	if _, err := io.WriteString(conn, "more"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	for h, labels := range sides {
		closed := each(metricTCP[:2], "1", labels)
		maps.Copy(closed, each(metricTCP[2:], "9", labels))
		h.want(metricTCP, closed)
	}
	for h := range sides {
		h.wantTypes()
	}
	var logged []byte
	envoytest.Eventually(t, "the connection in the access log", func() bool {
		logged, err = os.ReadFile(outbound.log)
		return err == nil && bytes.Contains(logged, []byte("outbound|9081||"))
	})
	if n := bytes.Count(logged, []byte("outbound|9081||")); n != 1 {
		t.Errorf("the connection is logged %d times:\n%s", n, logged)
	}
}

// echo answers connections with what they send.
func echo(t *testing.T) int {
	return rawServer(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
}
