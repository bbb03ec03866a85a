package translate

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// deniedYAML lets nobody of the mesh reach reviews.
const deniedYAML = `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: default}
spec: {action: DENY, selector: {matchLabels: {app: reviews}}, rules: [{from: [{source: {namespaces: [default]}}]}]}
`

// A connection that is counted as closed is counted as opened as well, also where it reached no server.
func TestWhatIsClosedWasOpened(t *testing.T) {
	const cluster = "outbound|9081||reviews.default.svc.cluster.local"
	for name, c := range map[string]struct {
		objects string
		servers map[string]int
		both    bool // it comes to the server's proxy
	}{
		"served":        {"", nil, true},
		"denied":        {deniedYAML, nil, true},
		"nobody there":  {"", map[string]int{cluster: noHost}, false},
		"nobody serves": {"", map[string]int{cluster: envoytest.FreePort(t)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := startMetered(t, "", c.objects, c.servers)
			conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(m.raw))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, "hello") // the proxy may have closed it
			_, _ = conn.Read(make([]byte, 5))
			conn.Close()
			proxies := []*hop{m.out}
			if c.both {
				proxies = append(proxies, m.in)
			}
			for _, h := range proxies {
				h.wantOpenedAndClosed(1)
			}
		})
	}
}

// wantOpenedAndClosed waits until so many connections have ended, whatever their labels, and compares how many began.
func (h *hop) wantOpenedAndClosed(n int) {
	h.t.Helper()
	count := func(metric string) int {
		sum := 0
		for _, value := range h.metrics(metric) {
			v, err := strconv.Atoi(value)
			if err != nil {
				h.t.Fatal(err)
			}
			sum += v
		}
		return sum
	}
	envoytest.Eventually(h.t, "the end of a connection at "+h.workload.Name, func() bool { return count(metricTCP[1]) == n })
	if opened := count(metricTCP[0]); opened != n {
		h.t.Errorf("%s counts %d connections as opened, and %d as closed", h.workload.Name, opened, n)
	}
}

const socketServersYAML = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: app, namespace: default}
spec: {workloadSelector: {labels: {app: app}}, ingress: [{port: {number: %[1]d, protocol: TCP, name: tcp}, defaultEndpoint: "unix://%[2]s/app"}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: served, namespace: default}
spec: {hosts: [a.example.com], addresses: [10.1.0.1], ports: [{number: 9, name: tcp, protocol: TCP}], resolution: STATIC, endpoints: [{address: "unix://%[2]s/app"}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: dead, namespace: default}
spec: {hosts: [b.example.com], addresses: [10.1.0.2], ports: [{number: 9, name: tcp, protocol: TCP}], resolution: STATIC, endpoints: [{address: "unix://%[2]s/none"}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: DISABLE}}
`

// So is one whose server has a Unix socket, where Envoy knows no address of its own.
func TestWhatIsClosedOfASocketWasOpened(t *testing.T) {
	dir, err := os.MkdirTemp("", "served") // short, for the socket's sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	echoAt(t, dir+"/app")
	inbound, served, dead := envoytest.FreePort(t), envoytest.FreePort(t), envoytest.FreePort(t)
	labels := map[string]string{"app": "app"}
	res := translate(t, fmt.Sprintf(socketServersYAML, inbound, dir), Proxy{Labels: labels})
	h := startHop(t, hopConfig{
		res: res, workload: telemetry.WorkloadOf("app", "default", "Kubernetes", labels),
		listeners: map[string][]int{model.VirtualInboundListener: {inbound}, "10.1.0.1_9": {served}, "10.1.0.2_9": {dead}},
		secrets:   envoytest.NewGate(t, "", envoytest.NewSecrets(t)).Socket,
		lead:      func(cl *clusterv3.Cluster) { leadToSockets(res, cl) },
	})
	for i, port := range []int{inbound, served, dead} {
		conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "hello") // the proxy may have closed it
		if n, _ := conn.Read(make([]byte, 5)); n > 0 == (port == dead) {
			t.Errorf("%d bytes come from port %d of inbound, served and dead %v", n, i, []int{inbound, served, dead})
		}
		conn.Close()
		h.wantOpenedAndClosed(i + 1)
	}
}

// echoAt serves at a Unix socket what is sent there.
func echoAt(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.CopyN(conn, conn, 5)
			conn.Close()
		}
	}()
}

// leadToSockets leads a cluster where the translation has it, if that is a Unix socket.
func leadToSockets(res Resources, cl *clusterv3.Cluster) {
	take := func(a *endpointv3.ClusterLoadAssignment) {
		if len(a.GetEndpoints()) > 0 && a.ClusterName == cl.Name && a.Endpoints[0].LbEndpoints[0].GetEndpoint().GetAddress().GetPipe() != nil {
			cl.LoadAssignment = a
			cl.TransportSocket, cl.TransportSocketMatches = nil, nil
		}
	}
	for _, r := range res.ByType["endpoints"] {
		take(r.Body.(*endpointv3.ClusterLoadAssignment))
	}
	for _, r := range res.ByType["clusters"] {
		take(r.Body.(*clusterv3.Cluster).LoadAssignment)
	}
}
