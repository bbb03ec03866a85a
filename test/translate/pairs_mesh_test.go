package translate

import (
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// pairMeshYAML is beside the workload in the mesh of each case, and namedYAML leads further names to it.
const (
	pairMeshYAML = providersYAML + workloadYAML + `
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
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: gw, namespace: shop}
spec: {hosts: ["*"], gateways: [istio-system/gw], http: [{route: [{destination: {host: web, port: {number: 80}}}]}]}
`
	namedYAML = `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: named, namespace: shop}
spec: {hosts: ["%s"], http: [{route: [{destination: {host: web, port: {number: 80}}}]}]}
`
)

const (
	gatewayIdentity = "cluster.local/ns/istio-system/sa/gateway"
	webHost         = "web.shop.svc.cluster.local"
	webListener     = "10.1.0.1_9000" // of callers, for connections
	pairHTTP        = 8080            // the ports at which Envoys of a pair listen
	pairTCP         = 9000
)

// pairMesh is the Envoys between which calls go: one in the place of all that call, and one of all that serve. Each
// case is a mesh of its own.
type pairMesh struct {
	places  []*pairPlace
	callers map[pairCaller]string // where each listens
	secrets *envoytest.Secrets    // whose roots all have
}

// pairPlace is one case's mesh, and its workload.
type pairPlace struct {
	policyCase
	name, address string // of its sidecar
	mesh          *store.Snapshot
	inbound       *ir.Listener
	guard         *ir.FilterChain // of any gateway
	config        *explain.Config // of its sidecar
}

// pairCaller is a sidecar, or a gateway, by which calls of a case go.
type pairCaller struct {
	place    *pairPlace
	identity string
	trusted  uint32 // how many proxies before it a gateway trusts
	pod      string // the address from which a sidecar connects, "" for any
}

// gateway tells whether it is one.
func (c pairCaller) gateway() bool { return c.identity == gatewayIdentity }

// caller gives by whom a call goes, false where its client has no sidecar.
func (p *pairPlace) caller(c *policyCall) (pairCaller, bool) {
	out := pairCaller{place: p, identity: c.From, trusted: c.Trusted}
	if out.identity == "" && !c.Clear {
		out.identity = p.Caller
	}
	if !out.gateway() {
		out.pod = c.Address
	}
	return out, out.identity != ""
}

// byEnvoys tells whether a call is one of a client that has what workloads of a mesh have, and no more.
func (c *policyCall) byEnvoys() bool { return c.Alone == "" && c.SNI == "" }

// names are what calls ask for, beside the workload's own name.
func (p *pairPlace) names() []string {
	names := map[string]bool{}
	for _, c := range p.Calls {
		if name, _, _ := strings.Cut(strings.TrimSuffix(strings.ToLower(c.Host), "."), ":"); name != "" && c.byEnvoys() {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// startPairMesh runs the Envoys for all cases of policies/ and pairs/.
func startPairMesh(t *testing.T, keys string) *pairMesh {
	t.Helper()
	m := &pairMesh{callers: map[pairCaller]string{}, secrets: envoytest.NewSecrets(t)}
	for _, pattern := range []string{"pairs/*.yaml", "policies/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no cases %s: %v", pattern, err)
		}
		for _, path := range files {
			m.places = append(m.places, readPair(t, path, fmt.Sprintf("127.1.1.%d", len(m.places)+1), keys))
		}
	}
	m.startServers(t)
	m.startCallers(t)
	return m
}

// readPair reads a case and its mesh.
func readPair(t *testing.T, path, address, keys string) *pairPlace {
	t.Helper()
	p := &pairPlace{policyCase: parsePolicyCase(t, path), name: strings.TrimSuffix(path, ".yaml"), address: address}
	documents := pairMeshYAML
	if names := p.names(); len(names) > 0 {
		documents += fmt.Sprintf(namedYAML, strings.Join(names, `", "`))
	}
	p.mesh = p.snapshot(t, documents, keys)
	return p
}

// startServers runs the sidecars of all workloads. What they serve bytes to is a server of bytes.
func (m *pairMesh) startServers(t *testing.T) {
	t.Helper()
	e := newPairEnvoy(providerPorts(t))
	e.clusters["inbound|9000||"] = rawServer(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1<<10))
		_, _ = io.WriteString(conn, "served")
	})
	for _, p := range m.places {
		proxy := (&Proxy{Name: "web-0", Namespace: "shop", IPs: []string{"10.0.0.1"}}).Model()
		class := resolve.Classify(p.mesh.Reader(nil), proxy)
		inbound, _ := resolve.Inbound(p.mesh.Reader(nil), &class)
		p.inbound = inbound[0]
		o := owned{identity: p.domain() + "/ns/shop/sa/web", at: p.address, listeners: map[string][]uint32{model.VirtualInboundListener: {pairHTTP, pairTCP}}}
		p.config = explained(p.translated(proxy))
		e.take(t, p.translated(proxy), &o)
	}
	e.start(t, m.secrets, "web")
}

// startCallers runs the sidecars and gateways of all that call.
func (m *pairMesh) startCallers(t *testing.T) {
	t.Helper()
	e := newPairEnvoy(providerPorts(t))
	made := map[string]Resources{} // what proxies of a namespace have alike, and gateways
	for i, p := range m.places {
		before := len(m.callers)
		for _, c := range p.Calls {
			by, ok := p.caller(&c)
			if _, there := m.callers[by]; there || !ok || !c.byEnvoys() {
				continue
			}
			m.callers[by] = fmt.Sprintf("127.9.%d.%d", i+1, len(m.callers)-before+1)
			proxy, listeners := by.proxy(), map[string][]uint32{"0.0.0.0_80": {pairHTTP}, webListener: {pairTCP}}
			if by.gateway() {
				p.guard, listeners = p.guardOf(proxy), map[string][]uint32{"0.0.0.0_8080": {pairHTTP}}
			}
			key := fmt.Sprint(p.name, proxy.Namespace, proxy.Type, by.trusted)
			if _, there := made[key]; !there {
				made[key] = p.translated(proxy)
			}
			e.take(t, made[key], &owned{
				identity: by.identity, at: m.callers[by], listeners: listeners, from: by.pod, to: p.address,
				leads: map[string]uint32{model.ClusterName("outbound", 80, "", webHost): pairHTTP, model.ClusterName("outbound", 9000, "", webHost): pairTCP},
			})
		}
	}
	e.start(t, m.secrets, "caller")
}

// translated gives what the control plane has for a proxy; who denies a request is told.
func (p *pairPlace) translated(proxy *model.Proxy) Resources {
	return BuildBy(build.Options{Settings: resolve.Settings{NameDenials: true}}, p.mesh, proxy)
}

// domain is the trust domain of the mesh.
func (p *pairPlace) domain() string { return p.mesh.Mesh().GetTrustDomain() }

// proxy is who asks the control plane.
func (c pairCaller) proxy() *model.Proxy {
	if c.gateway() {
		out := ingress.Model()
		out.IPs, out.Topology = []string{"10.0.0.9"}, &model.Topology{TrustedProxies: c.trusted}
		return out
	}
	return (&Proxy{Name: "caller-0", Namespace: strings.Split(c.identity, "/")[2], IPs: []string{"10.0.2.1"}}).Model()
}

// guardOf gives the chain of filters of a gateway.
func (p *pairPlace) guardOf(proxy *model.Proxy) *ir.FilterChain {
	r := p.mesh.Reader(nil)
	class := resolve.Classify(r, proxy)
	l, _ := resolve.NewGatewayPlan(r, &class).Listener(r, "0.0.0.0_8080")
	return l.Chains[0]
}
