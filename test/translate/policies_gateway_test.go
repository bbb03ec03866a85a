package translate

import (
	"net/http"
	"net/netip"
	"slices"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// openGatewayYAML leads all that comes to port 8080 to reviews.
const openGatewayYAML = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: gw, namespace: istio-system}
spec: {hosts: ["*"], gateways: [gw], http: [{route: [{destination: {host: reviews.default.svc.cluster.local, port: {number: 9080}}}]}]}
`

const guardedGatewayYAML = openGatewayYAML + `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: clients, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  rules:
  - from: [{source: {remoteIpBlocks: [198.51.100.0/24, "2001:db8::/32"], notRemoteIpBlocks: [198.51.100.66]}}]
  - from: [{source: {ipBlocks: [127.0.0.0/8]}}]
    to: [{operation: {paths: [/peer]}}]
  - when: [{key: remote.ip, values: [203.0.113.9]}]
`

// TestGatewaysDecideByTheClientsAddress asks a gateway behind as many proxies, whose word about the client
// counts, and the evaluator.
func TestGatewaysDecideByTheClientsAddress(t *testing.T) {
	var trusted uint32
	var gateway *guardedPlace
	for _, tc := range []struct {
		trusted uint32
		// forwarded is what the caller says, client whom the gateway takes it for.
		forwarded, client, path string
		allowed                 bool
	}{
		{0, "198.51.100.7", "127.0.0.1", "/", false},
		{0, "198.51.100.7", "127.0.0.1", "/peer", true},
		{0, "", "127.0.0.1", "/", false},
		{1, "198.51.100.7", "198.51.100.7", "/", true},
		{1, "198.51.100.66", "198.51.100.66", "/", false},
		{1, "198.51.100.7, 192.0.2.1", "192.0.2.1", "/", false},
		{1, "192.0.2.1, 198.51.100.7", "198.51.100.7", "/", true},
		{1, "2001:db8::5", "2001:db8::5", "/", true},
		{1, "203.0.113.9", "203.0.113.9", "/", true},
		{1, "203.0.113.8", "203.0.113.8", "/", false},
		{1, "203.0.113.8", "203.0.113.8", "/peer", true},
		{2, "198.51.100.7, 192.0.2.1", "198.51.100.7", "/", true},
		{2, "192.0.2.1, 198.51.100.7", "192.0.2.1", "/", false},
		{2, "192.0.2.1, 198.51.100.7, 192.0.2.3", "198.51.100.7", "/", true},
	} {
		if tc.trusted != trusted || gateway == nil {
			trusted = tc.trusted
			gateway = guardedGateway(t, trusted)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+gateway.addr+tc.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tc.forwarded != "" {
			req.Header.Set("x-forwarded-for", tc.forwarded)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if (res.StatusCode == http.StatusOK) != tc.allowed {
			t.Errorf("%+v: Envoy says %d", tc, res.StatusCode)
		}
		d := authz.Decide(authz.Filters(gateway.chain), authz.Call{
			Peer: netip.MustParseAddr("127.0.0.1"), Client: netip.MustParseAddr(tc.client), Local: netip.MustParseAddr("127.0.0.1"), Port: 8080,
			Request: &authz.Request{Method: http.MethodGet, Host: "x", Path: tc.path, Headers: map[string]string{}},
		})
		if d.Allowed != tc.allowed {
			t.Errorf("%+v: the evaluator says %+v", tc, d)
		}
		o := explained(gateway.res).Explain(explain.Request{
			Way: explain.Direct, Source: netip.MustParseAddr("127.0.0.1"), Destination: netip.MustParseAddrPort("127.0.0.1:8080"),
			Protocol: explain.HTTP11, Host: "x", Path: tc.path, Header: req.Header,
		}).Outcome
		if (o.Status == http.StatusForbidden) == tc.allowed {
			t.Errorf("%+v: explain says %s", tc, &o)
		}
	}
}

// guardedGateway runs a gateway behind some trusted proxies.
func guardedGateway(t *testing.T, trusted uint32) *guardedPlace {
	t.Helper()
	return gatewayOf(t, guardedGatewayYAML, model.Topology{TrustedProxies: trusted})
}

// guardedPlace is a gateway, with what it runs and its filter chain.
type guardedPlace struct {
	*served
	res   Resources
	chain *ir.FilterChain
}

// gatewayOf runs a gateway of port 8080, with what its proxy says of the way to it.
func gatewayOf(t *testing.T, documents string, topology model.Topology) *guardedPlace {
	t.Helper()
	objects, problems := file.Decode([]byte(servicesYAML+"---\n"+documents), "gateway.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	snapshot := Snapshot(objects)
	proxy := ingress.Model()
	proxy.IPs, proxy.Topology = []string{"10.0.0.9"}, &topology
	class := resolve.Classify(snapshot.Reader(nil), proxy)
	plan := resolve.NewGatewayPlan(snapshot.Reader(nil), &class)
	const name = "0.0.0.0_8080"
	if !slices.Contains(plan.Listeners(), name) {
		t.Fatal(plan.Listeners())
	}
	l, _ := plan.Listener(snapshot.Reader(nil), name)
	res := Build(snapshot, proxy)
	return &guardedPlace{serve(t, res, place{listener: name}), res, l.Chains[0]}
}
