package translate

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
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
				"10.1.1.1:7401", "10.1.1.1:7402", "10.1.1.1:7403", "10.1.1.2:7404", "10.1.1.2:7405")
			gateway := d.start(gatewayIdentity, ingress, "0.0.0.0:27017", "0.0.0.0:6379", "0.0.0.0:3307")
			for _, c := range []struct {
				about  string
				from   *databaseCaller
				to     string
				greets bool
			}{
				{"Mongo", client, "10.1.1.1:7401", false},
				{"Redis by appProtocol", client, "10.1.1.1:7402", false},
				{"MySQL", client, "10.1.1.1:7403", true},
				{"MySQL by a TCP rule", client, "10.1.1.2:7404", true},
				{"Mongo by a TCP rule", client, "10.1.1.2:7405", false},
				{"Mongo at a gateway", gateway, "0.0.0.0:27017", false},
				{"Redis at a gateway", gateway, "0.0.0.0:6379", false},
				{"MySQL at a gateway", gateway, "0.0.0.0:3307", true},
			} {
				if err := talk(t, c.from.ports[c.to], c.greets); err != nil {
					t.Errorf("%s: %v", c.about, err)
				}
				if o := c.from.explained(c.to); o.Refused || o.Forward.Clusters[0].Endpoints[0].TLS != "mutual" {
					t.Errorf("%s, by explain: %s", c.about, &o)
				}
			}
			for i, port := range d.ports {
				if err := talk(t, port, i == 2 && mode == "PERMISSIVE"); (err == nil) != (mode == "PERMISSIVE") {
					t.Errorf("a client without an Envoy, port %d: %v", i, err)
				}
				if o := explainedTo(d.server(), explain.Inbound, fmt.Sprintf("10.0.0.1:%d", port)); o.Closed != (mode == "STRICT") {
					t.Errorf("a client without an Envoy, port %d, by explain: %s", i, &o)
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
		res: d.server(), listeners: map[string][]int{model.VirtualInboundListener: d.ports[:]}, clusters: clusters,
	})
}

// server gives what the sidecar of the servers runs.
func (d *databases) server() Resources {
	return translate(d.t, d.mesh, Proxy{Name: "data-0", Labels: map[string]string{"app": "data"}})
}

// databaseCaller is who calls.
type databaseCaller struct {
	res   Resources
	way   explain.Way
	ports map[string]int // where its Envoy listens in the place of an address
}

// explained says what becomes of a connection to an address, by what the caller runs.
func (c *databaseCaller) explained(to string) explain.Outcome { return explainedTo(c.res, c.way, to) }

func explainedTo(res Resources, way explain.Way, to string) explain.Outcome {
	return explained(res).Explain(explain.Request{Way: way, Destination: netip.MustParseAddrPort(to), Protocol: explain.TCP}).Outcome
}

// start runs the Envoy of a caller with the listeners of some addresses.
func (d *databases) start(identity string, p Proxy, addresses ...string) *databaseCaller {
	out, at := &databaseCaller{res: translate(d.t, d.mesh, p), way: explain.Outbound, ports: map[string]int{}}, map[string][]int{}
	if p.Type == model.RouterProxy {
		out.way = explain.Direct
	}
	for _, a := range addresses {
		out.ports[a] = envoytest.FreePort(d.t)
		at[strings.ReplaceAll(a, ":", "_")] = []int{out.ports[a]}
	}
	clusters := map[string]int{}
	for i, port := range d.ports {
		clusters[model.ClusterName("outbound", uint32(7401+i), "", "data.default.svc.cluster.local")] = port
	}
	d.hop(identity, hopConfig{res: out.res, listeners: at, clusters: clusters})
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
