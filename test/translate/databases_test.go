package translate

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

const databasesYAML = `
apiVersion: v1
kind: Service
metadata: {name: data, namespace: default}
spec:
  clusterIP: 10.1.1.1
  selector: {app: data}
  ports: [{name: mongo, port: 7401, targetPort: %[1]d}, {name: r, appProtocol: redis, port: 7402, targetPort: %[2]d}, {name: mysql, port: 7403, targetPort: %[3]d}]
---
apiVersion: v1
kind: Pod
metadata: {name: data-0, namespace: default, labels: {app: data, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: web, containers: [{name: c}]}
status: {podIP: 10.0.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: default}
spec: {clusterIP: 10.1.1.2, ports: [{name: mysql, port: 7404}, {name: mongo, port: 7405}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front, namespace: default}
spec:
  hosts: [front]
  tcp:
  - {match: [{port: 7404}], route: [{destination: {host: data, port: {number: 7403}}}]}
  - {match: [{port: 7405}], route: [{destination: {host: data, port: {number: 7401}}}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 27017, name: mongo, protocol: MONGO}, hosts: ["*"]}
  - {port: {number: 6379, name: redis, protocol: REDIS}, hosts: ["*"]}
  - {port: {number: 3307, name: mysql, protocol: MYSQL}, hosts: ["*"]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: outside, namespace: default}
spec:
  hosts: ["*"]
  gateways: [istio-system/gw]
  tcp:
  - {match: [{port: 27017}], route: [{destination: {host: data, port: {number: 7401}}}]}
  - {match: [{port: 6379}], route: [{destination: {host: data, port: {number: 7402}}}]}
  - {match: [{port: 3307}], route: [{destination: {host: data, port: {number: 7403}}}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: %[4]s}}
`

// greeting is what a server of MySQL says before its client says anything.
const greeting = "greeting"

// databases are three servers behind one sidecar; that of MySQL greets.
type databases struct {
	t       *testing.T
	mesh    string
	secrets *envoytest.Secrets
	ports   [3]int // of the sidecar, for Mongo, Redis and MySQL
}

// Mongo, Redis and MySQL go byte by byte from the client's Envoy, or a gateway's, to the server's, over mutual TLS, by
// the service's own address and by TCP rules. A client without an Envoy is served where the mode lets it, and no
// server that speaks first waits for its client.
func TestDatabasesBetweenEnvoys(t *testing.T) {
	for _, mode := range []string{"PERMISSIVE", "STRICT"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			d := newDatabases(t, mode)
			d.serve()
			client := d.start("cluster.local/ns/default/sa/client", Proxy{Name: "client-0"},
				"10.1.1.1_7401", "10.1.1.1_7402", "10.1.1.1_7403", "10.1.1.2_7404", "10.1.1.2_7405")
			gateway := d.start(gatewayIdentity, ingress, "0.0.0.0_27017", "0.0.0.0_6379", "0.0.0.0_3307")
			for _, c := range []struct {
				about  string
				port   int
				greets bool
			}{
				{"Mongo", client["10.1.1.1_7401"], false},
				{"Redis by appProtocol", client["10.1.1.1_7402"], false},
				{"MySQL", client["10.1.1.1_7403"], true},
				{"MySQL by a TCP rule", client["10.1.1.2_7404"], true},
				{"Mongo by a TCP rule", client["10.1.1.2_7405"], false},
				{"Mongo at a gateway", gateway["0.0.0.0_27017"], false},
				{"Redis at a gateway", gateway["0.0.0.0_6379"], false},
				{"MySQL at a gateway", gateway["0.0.0.0_3307"], true},
			} {
				if err := talk(t, c.port, c.greets); err != nil {
					t.Errorf("%s: %v", c.about, err)
				}
			}
			for i, port := range d.ports {
				if err := talk(t, port, i == 2 && mode == "PERMISSIVE"); (err == nil) != (mode == "PERMISSIVE") {
					t.Errorf("a client without an Envoy, port %d: %v", i, err)
				}
			}
		})
	}
}

func newDatabases(t *testing.T, mode string) *databases {
	d := &databases{t: t, secrets: envoytest.NewSecrets(t)}
	for i := range d.ports {
		d.ports[i] = envoytest.FreePort(t)
	}
	d.mesh = fmt.Sprintf(databasesYAML, d.ports[0], d.ports[1], d.ports[2], mode)
	return d
}

// serve runs the servers and the sidecar before them.
func (d *databases) serve() {
	clusters := map[string]int{}
	for i, port := range d.ports {
		clusters[model.ClusterName("inbound", uint32(port), "", "")] = rawServer(d.t, func(conn net.Conn) {
			if i == 2 {
				_, _ = io.WriteString(conn, greeting)
			}
			_, _ = io.Copy(conn, conn)
		})
	}
	d.hop("cluster.local/ns/default/sa/web", hopConfig{
		res:       translate(d.t, d.mesh, Proxy{Name: "data-0", Labels: map[string]string{"app": "data"}}),
		listeners: map[string][]int{model.VirtualInboundListener: d.ports[:]}, clusters: clusters,
	})
}

// start runs the Envoy of a caller with some of its listeners, and gives where they listen.
func (d *databases) start(identity string, p Proxy, listeners ...string) map[string]int {
	out, at := map[string]int{}, map[string][]int{}
	for _, name := range listeners {
		out[name] = envoytest.FreePort(d.t)
		at[name] = []int{out[name]}
	}
	clusters := map[string]int{}
	for i, port := range d.ports {
		clusters[model.ClusterName("outbound", uint32(7401+i), "", "data.default.svc.cluster.local")] = port
	}
	d.hop(identity, hopConfig{res: translate(d.t, d.mesh, p), listeners: at, clusters: clusters})
	return out
}

func (d *databases) hop(identity string, c hopConfig) {
	parts := strings.Split(identity, "/")
	c.workload = telemetry.WorkloadOf(parts[4], parts[2], "Kubernetes", map[string]string{"app": parts[4]})
	c.secrets = envoytest.NewGate(d.t, "", d.secrets.As(d.t, identity)).Socket
	startHop(d.t, c)
}

// talk is a client's: one of MySQL says nothing before it was greeted.
func talk(t *testing.T, port int, greeted bool) error {
	t.Helper()
	conn := dial(t, "127.0.0.1:"+strconv.Itoa(port))
	defer conn.Close()
	if greeted {
		got := make([]byte, len(greeting))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != greeting {
			return fmt.Errorf("the greeting is %q, %w", got, err)
		}
	}
	const bytes = "what is no TLS record"
	got := make([]byte, len(bytes))
	if _, err := io.WriteString(conn, bytes); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != bytes {
		return fmt.Errorf("the echo is %q, %w", got, err)
	}
	return nil
}
