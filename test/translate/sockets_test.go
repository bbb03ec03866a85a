package translate

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

const socketsYAML = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}, {name: http-b, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: hidden, namespace: default}
spec: {clusterIP: 10.96.0.2, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: data}
spec: {clusterIP: 10.96.0.3, ports: [{name: tcp, port: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: any, namespace: sniffed}
spec: {clusterIP: 10.96.0.4, ports: [{name: x, port: 7070}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: any, namespace: sniffed}
spec:
  hosts: [any.sniffed.svc.cluster.local]
  http:
  - match: [{port: 7070, uri: {prefix: /here}}]
    route: [{destination: {host: any.sniffed.svc.cluster.local}}]
  - match: [{uri: {prefix: /x}}]
    route: [{destination: {host: any.sniffed.svc.cluster.local, port: {number: 7070}}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: default}
spec:
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
  egress:
  - {port: {number: 0, protocol: HTTP, name: http}, bind: "unix://%[1]s/http", hosts: [./web.default.svc.cluster.local]}
  - {port: {number: 0, protocol: TCP, name: tcp}, bind: "unix://%[1]s/tcp", hosts: ["data/*"]}
  - {port: {number: 0, name: any}, bind: "unix://%[1]s/any", hosts: ["sniffed/*"]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: DISABLE}}
`

// Egress listeners of a Sidecar on Unix sockets: requests go where their host and port say, among the hosts of the
// listener, and bytes to the one service of theirs.
func TestEgressListenersOnSockets(t *testing.T) {
	dir, err := os.MkdirTemp("", "egress") // short, for the sockets' sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	res := translate(t, fmt.Sprintf(socketsYAML, dir), Proxy{})
	startHop(t, hopConfig{
		res: res, workload: telemetry.WorkloadOf("client", "default", "Kubernetes", nil),
		listeners: map[string][]int{"unix://" + dir + "/http": {1}, "unix://" + dir + "/tcp": {1}, "unix://" + dir + "/any": {1}},
		clusters:  map[string]int{"outbound|5432||db.data.svc.cluster.local": rawServer(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })},
		secrets:   envoytest.NewGate(t, "", envoytest.NewSecrets(t)).Socket,
		edit: func(l *listenerv3.Listener) { // back to where the translation has it
			l.Address = &core.Address{Address: &core.Address_Pipe{Pipe: &core.Pipe{Path: strings.TrimPrefix(l.Name, model.UnixScheme)}}}
		},
	})
	for socket, urls := range map[string]map[string]string{
		"/http": {
			"http://web/x":                            "outbound|80||web.default.svc.cluster.local",
			"http://web.default:8080/x":               "outbound|8080||web.default.svc.cluster.local",
			"http://hidden/x":                         "",
			"http://db.data.svc.cluster.local:5432/x": "",
		},
		"/any": { // of one service, with its port
			"http://any.sniffed/here": "outbound|7070||any.sniffed.svc.cluster.local",
			"http://any.sniffed/x":    "outbound|7070||any.sniffed.svc.cluster.local",
			"http://whatever/here":    "outbound|7070||any.sniffed.svc.cluster.local",
		},
	} {
		wantOverSocket(t, dir+socket, urls)
		for target, want := range urls {
			u, err := url.Parse(target)
			if err != nil {
				t.Fatal(err)
			}
			r := explain.Request{Way: explain.Direct, Socket: dir + socket, Protocol: explain.HTTP11, Host: u.Host, Path: u.Path}
			if got := leadsTo(res, r); got != want {
				t.Errorf("%s over %s, by explain: %q, want %q", target, socket, got, want)
			}
		}
	}
	if got := leadsTo(res, explain.Request{Way: explain.Direct, Socket: dir + "/tcp", Protocol: explain.TCP}); got != "outbound|5432||db.data.svc.cluster.local" {
		t.Errorf("bytes, by explain: %q", got)
	}
	conn, err := net.Dial("unix", dir+"/tcp")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	echoes(t, conn, conn)
}

// leadsTo gives the cluster to which explain says that a request goes, "" for none.
func leadsTo(res Resources, r explain.Request) string {
	f := explained(res).Explain(r).Outcome.Forward
	if f == nil {
		return ""
	}
	return f.Clusters[0].Name
}

// wantOverSocket asks for URLs over a Unix socket, each of which names the cluster that is to answer, "" for none.
func wantOverSocket(t *testing.T, socket string, urls map[string]string) {
	t.Helper()
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	for url, want := range urls {
		res, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if want == "" && res.StatusCode == http.StatusOK || want != "" && !strings.Contains(string(text), want) {
			t.Errorf("%s over %s: %d %s, want %q", url, socket, res.StatusCode, text, want)
		}
	}
}
