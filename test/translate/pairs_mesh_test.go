package translate

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// pairMeshYAML is what all cases of pairs/ have in common, and pairServiceYAML the server of one.
const (
	pairMeshYAML = providersYAML + `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    trustDomainAliases: [old.example]
    extensionProviders:
    - {name: http, envoyExtAuthzHttp: {service: authz.auth.svc.cluster.local, port: 8000, includeRequestHeadersInCheck: [x-let], headersToUpstreamOnAllow: [x-asked]}}
    - {name: grpc, envoyExtAuthzGrpc: {service: authz.auth.svc.cluster.local, port: 9000}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: auth}
spec: {mtls: {mode: DISABLE}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  jwtRules: [{issuer: kept, jwks: KEYS, forwardOriginalToken: true}, {issuer: taken, jwks: KEYS}]
`
	pairServiceYAML = `
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: shop}
spec: {clusterIP: 10.1.1.%[2]d, selector: {app: %[1]s}, ports: [{name: http, port: 80, targetPort: %[3]d}, {name: tcp, port: 9000, targetPort: %[4]d}]}
---
apiVersion: v1
kind: Pod
metadata: {name: %[1]s-0, namespace: shop, labels: {app: %[1]s, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: web, containers: [{name: c}]}
status: {podIP: 10.0.0.%[2]d, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[1]s, namespace: shop}
spec: {hosts: [%[1]s.shop], gateways: [istio-system/gw], http: [{route: [{destination: {host: %[1]s, port: {number: 80}}}]}]}
---
%[5]s
`
)

const (
	gatewayIdentity = "cluster.local/ns/istio-system/sa/gateway"
	serversIdentity = "cluster.local/ns/shop/sa/web"
)

// pairCallers are the identities of sidecars that call. The last two are of a trust domain that the mesh knows as
// its own by another name, and of one that it does not know.
func pairCallers() []string {
	return []string{
		"cluster.local/ns/shop/sa/front", "cluster.local/ns/shop/sa/back", "cluster.local/ns/bank/sa/clerk",
		"old.example/ns/shop/sa/front", "foreign.example/ns/shop/sa/front",
	}
}

// trustedProxies are before the gateways, of which each has as many.
const trustedProxies = 3

// pairMesh is Envoys that call, gateways, and one Envoy that serves all cases in the place of their sidecars.
type pairMesh struct {
	places   []*pairPlace
	callers  map[string]*pairCaller
	gateways []*pairCaller   // by how many proxies before them they trust
	guard    *ir.FilterChain // of any gateway
	snapshot *store.Snapshot
	secrets  *envoytest.Secrets // whose roots all have
}

// pairPlace is one case's workload.
type pairPlace struct {
	policyCase
	name      string
	http, tcp int // the ports of its sidecar
	inbound   *ir.Listener
}

// pairCaller is where workloads, or clients, reach the Envoy that is theirs.
type pairCaller struct {
	http int
	tcp  map[string]int // by the case
}

// readPairs reads the cases and gives the mesh of all of them.
func readPairs(t *testing.T, keys string) (places []*pairPlace, mesh string) {
	t.Helper()
	files, err := filepath.Glob("pairs/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	mesh = pairMeshYAML
	for i, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p := &pairPlace{name: strings.TrimSuffix(filepath.Base(path), ".yaml"), http: envoytest.FreePort(t), tcp: envoytest.FreePort(t)}
		if err := yaml.UnmarshalStrict(data, &p.policyCase); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		places = append(places, p)
		policies := strings.NewReplacer("HTTPPORT", strconv.Itoa(p.http), "TCPPORT", strconv.Itoa(p.tcp)).Replace(p.Policies)
		mesh += fmt.Sprintf(pairServiceYAML, p.name, i+1, p.http, p.tcp, policies)
	}
	return places, strings.ReplaceAll(mesh, "KEYS", "'"+keys+"'")
}

// startPairMesh runs all of it. Whoever calls shows a certificate of its own, of the roots that all have.
func startPairMesh(t *testing.T, keys string) *pairMesh {
	t.Helper()
	places, documents := readPairs(t, keys)
	objects, problems := file.Decode([]byte(documents), "mesh.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	m := &pairMesh{places: places, callers: map[string]*pairCaller{}, snapshot: Snapshot(objects), secrets: envoytest.NewSecrets(t)}
	m.serve(t)
	for _, identity := range pairCallers() {
		parts := strings.Split(identity, "/")
		m.callers[identity] = m.sidecar(t, identity, Proxy{Name: parts[4] + "-0", Namespace: parts[2], IPs: []string{"10.0.2.1"}})
	}
	for trusted := range uint32(trustedProxies) {
		m.gateways = append(m.gateways, m.ingress(t, trusted))
	}
	return m
}

// translated gives what the control plane has for a proxy; who denies a request is told.
func (m *pairMesh) translated(p *model.Proxy) Resources {
	return with(build.Options{Settings: resolve.Settings{NameDenials: true}}, m.snapshot, p)
}

func (m *pairMesh) hop(t *testing.T, identity string, c hopConfig) {
	t.Helper()
	parts := strings.Split(identity, "/")
	c.workload = telemetry.WorkloadOf(parts[4], parts[2], "Kubernetes", map[string]string{"app": parts[4]})
	c.secrets = envoytest.NewGate(t, "", m.secrets.As(t, identity)).Socket
	startHop(t, c)
}

// serve runs the sidecars of all cases as one Envoy: each case's inbound listener has a name of its own.
func (m *pairMesh) serve(t *testing.T) {
	t.Helper()
	c := hopConfig{res: Resources{ByType: map[string][]Resource{}}, listeners: map[string][]int{}, clusters: providerPorts(t)}
	known := map[string]bool{}
	for _, p := range m.places {
		proxy := (&Proxy{Name: p.name + "-0", Namespace: "shop", IPs: []string{"10.0.2.2"}, Labels: map[string]string{"app": p.name}}).Model()
		class := resolve.Classify(m.snapshot.Reader(nil), proxy)
		inbound, _ := resolve.Inbound(m.snapshot.Reader(nil), &class)
		p.inbound = inbound[0]
		res := m.translated(proxy)
		for _, r := range res.ByType["listeners"] {
			if r.Name == model.VirtualInboundListener {
				l := proto.Clone(r.Body).(*listenerv3.Listener)
				l.Name = p.name
				c.res.ByType["listeners"] = append(c.res.ByType["listeners"], Resource{Name: l.Name, Body: l})
				c.listeners[l.Name] = []int{p.http, p.tcp}
			}
		}
		for _, r := range res.ByType["clusters"] {
			if _, asked := c.clusters[r.Name]; (asked || strings.HasPrefix(r.Name, "inbound|")) && !known[r.Name] {
				known[r.Name] = true
				c.res.ByType["clusters"] = append(c.res.ByType["clusters"], r)
			}
		}
		c.clusters[fmt.Sprintf("inbound|%d||", p.tcp)] = rawServer(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1<<10))
			_, _ = io.WriteString(conn, "served")
		})
	}
	m.hop(t, serversIdentity, c)
}

// sidecar runs the Envoy of a workload that calls.
func (m *pairMesh) sidecar(t *testing.T, identity string, proxy Proxy) *pairCaller {
	t.Helper()
	out := &pairCaller{http: envoytest.FreePort(t), tcp: map[string]int{}}
	c := hopConfig{res: m.translated(proxy.Model()), listeners: map[string][]int{"0.0.0.0_80": {out.http}}, clusters: m.upstream()}
	for i, p := range m.places {
		out.tcp[p.name] = envoytest.FreePort(t)
		c.listeners[fmt.Sprintf("10.1.1.%d_9000", i+1)] = []int{out.tcp[p.name]}
	}
	m.hop(t, identity, c)
	return out
}

// ingress runs a gateway that trusts some proxies before it.
func (m *pairMesh) ingress(t *testing.T, trusted uint32) *pairCaller {
	t.Helper()
	proxy := ingress.Model()
	proxy.IPs, proxy.Topology = []string{"10.0.0.9"}, &model.Topology{TrustedProxies: trusted}
	class := resolve.Classify(m.snapshot.Reader(nil), proxy)
	const name = "0.0.0.0_8080"
	plan := resolve.NewGatewayPlan(m.snapshot.Reader(nil), &class)
	l, _ := plan.Listener(m.snapshot.Reader(nil), name)
	m.guard = l.Chains[0]
	out := &pairCaller{http: envoytest.FreePort(t)}
	m.hop(t, gatewayIdentity, hopConfig{res: m.translated(proxy), listeners: map[string][]int{name: {out.http}}, clusters: m.upstream()})
	return out
}

// upstream says where clusters of callers lead.
func (m *pairMesh) upstream() map[string]int {
	out := map[string]int{}
	for _, p := range m.places {
		host := p.name + ".shop.svc.cluster.local"
		out[model.ClusterName("outbound", 80, "", host)], out[model.ClusterName("outbound", 9000, "", host)] = p.http, p.tcp
	}
	return out
}
