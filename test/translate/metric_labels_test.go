package translate

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

const metricLabelsYAML = `
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: labels, namespace: default}
spec:
  metrics:
  - overrides:
    - match: {metric: REQUEST_COUNT}
      tagOverrides:
        method: {value: request.method}
        port: {value: string(destination.port)}
        percent: {value: "request.url_path.contains('%') ? 'a)%b' : \"plain\""}
        none: {value: "request.headers['x-none']"}
        response_code: {value: "response.code >= 500 ? 'bad' : 'good'"}
        source_app: {value: node.metadata}
    - match: {metric: TCP_OPENED_CONNECTIONS, mode: CLIENT}
      tagOverrides: {state: {value: "'opened'"}}
    - match: {metric: TCP_SENT_BYTES}
      tagOverrides: {encrypted: {value: connection.mtls}}
`

// Labels have the values that expressions of users give them, each of the metrics that they are set for, and these
// alone; what there is no value for is unknown.
func TestLabelsByExpressions(t *testing.T) {
	httpPort, tcpPort := envoytest.FreePort(t), envoytest.FreePort(t)
	input := fmt.Sprintf(twoHopsYAML, httpPort, tcpPort) + metricLabelsYAML
	gate := envoytest.NewGate(t, "", envoytest.NewSecrets(t))
	client, raw := envoytest.FreePort(t), envoytest.FreePort(t)
	h := startHop(t, hopConfig{
		res:       translate(t, input, Proxy{Labels: map[string]string{"app": "productpage"}}),
		workload:  telemetry.WorkloadOf("productpage-v1", "default", "Kubernetes", nil),
		listeners: map[string][]int{"0.0.0.0_9080": {client}, "10.96.0.2_9081": {raw}},
		clusters:  map[string]int{"outbound|9081||reviews.default.svc.cluster.local": echo(t)}, // which has no TLS: the connection fails
		secrets:   gate.Socket,
	})
	h.servers.addr = "127.0.0.1:" + strconv.Itoa(client)
	for _, path := range []string{"/", "/a%20b"} {
		h.servers.get(t, "nowhere.example", path, nil)
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(raw))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, conn) // until it is closed
	conn.Close()
	// only gives of a series' labels those that the test sets, in order.
	only := func(names ...string) []string {
		var out []string
		for series, value := range h.metrics("istio_requests_total", "istio_tcp_connections_opened_total", "istio_tcp_connections_closed_total", "istio_tcp_sent_bytes_total") {
			parts := strings.Fields(series)
			if !slices.Contains(names, parts[0]) {
				continue
			}
			line := parts[:1]
			for _, label := range parts[1:] {
				name, _, _ := strings.Cut(label, "=")
				if slices.Contains([]string{"method", "port", "percent", "none", "response_code", "source_app", "state", "encrypted"}, name) {
					line = append(line, label)
				}
			}
			out = append(out, strings.Join(append(line, value), " "))
		}
		slices.Sort(out)
		return out
	}
	for metric, want := range map[string][]string{
		"istio_requests_total": {
			fmt.Sprintf(`istio_requests_total method="GET" none="unknown" percent="a)%%b" port="%d" response_code="bad" source_app="unknown" 1`, client),
			fmt.Sprintf(`istio_requests_total method="GET" none="unknown" percent="plain" port="%d" response_code="bad" source_app="unknown" 1`, client),
		},
		"istio_tcp_connections_opened_total": {`istio_tcp_connections_opened_total source_app="unknown" state="opened" 1`},
		"istio_tcp_connections_closed_total": {`istio_tcp_connections_closed_total source_app="unknown" 1`},
		"istio_tcp_sent_bytes_total":         {`istio_tcp_sent_bytes_total encrypted="false" source_app="unknown" 0`},
	} {
		func() {
			var got []string
			defer func() {
				if !slices.Equal(got, want) {
					t.Errorf("%s:\n%s\nwant:\n%s", metric, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}()
			envoytest.Eventually(t, metric+" as wanted", func() bool { got = only(metric); return slices.Equal(got, want) })
		}()
	}
}
