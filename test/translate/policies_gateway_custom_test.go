package translate

import (
	"fmt"
	"net/http"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// askingGatewayYAML asks KIND of a provider about what comes to the gateway on /asked.
const askingGatewayYAML = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders:
    - {name: http, envoyExtAuthzHttp: {service: authz.auth.svc.cluster.local, port: 8000, includeRequestHeadersInCheck: [x-let], headersToUpstreamOnAllow: [x-asked], headersToDownstreamOnDeny: [x-asked]}}
    - {name: grpc, envoyExtAuthzGrpc: {service: authz.auth.svc.cluster.local, port: 9000}}
    - {name: away, envoyExtAuthzHttp: {service: away.auth.svc.cluster.local, port: 8000, statusOnError: "503"}}
---
` + openGatewayYAML + `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: istio-system}
spec: {selector: {matchLabels: {istio: ingressgateway}}, action: CUSTOM, provider: {name: %s}, rules: [{to: [{operation: {paths: [/asked*]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: never, namespace: istio-system}
spec: {selector: {matchLabels: {istio: ingressgateway}}, action: DENY, rules: [{to: [{operation: {paths: [/asked/never]}}]}]}
`

// A gateway asks real servers of external authorization about what its CUSTOM policy matches, and other policies may
// still deny what they allow.
func TestGatewaysAskTheirProvider(t *testing.T) {
	for provider, calls := range map[string]map[string]int{ // status, by path; the client is let in where it says so with a !
		"http":    {"/open": 200, "/asked": 403, "!/asked": 200, "!/asked/never": 403},
		"grpc":    {"/open": 200, "/asked": 403, "!/asked": 200, "!/asked/never": 403},
		"away":    {"/open": 200, "!/asked": 503},
		"unknown": {"/open": 200, "!/asked": 403},
	} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			address := askingGateway(t, provider)
			for call, status := range calls {
				path, let := call, ""
				if call[0] == '!' {
					path, let = call[1:], "in"
				}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("x-let", let)
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != status {
					t.Errorf("%s: status %d, want %d", call, res.StatusCode, status)
				}
			}
		})
	}
}

func askingGateway(t *testing.T, provider string) (at string) {
	t.Helper()
	res := translate(t, servicesYAML+"---"+providersYAML+fmt.Sprintf(askingGatewayYAML, provider), ingress)
	b := &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{}}
	port := envoytest.FreePort(t)
	for _, l := range inlined(t, res) {
		if l.Name == "0.0.0.0_8080" {
			l.Address, l.BindToPort = address(port), nil
			b.StaticResources.Listeners = append(b.StaticResources.Listeners, l)
		}
	}
	addProviders(t, b, res.ByType["clusters"])
	s := &served{t: t, requests: make(chan answer, 100)}
	reviews := model.ClusterName("outbound", 9080, "", "reviews.default.svc.cluster.local")
	for _, r := range res.ByType["clusters"] {
		if r.Name == reviews {
			b.StaticResources.Clusters = append(b.StaticResources.Clusters, staticCluster(r.Body.(*clusterv3.Cluster), s.httpServer(r.Name)))
		}
	}
	startStatic(t, b)
	return fmt.Sprintf("127.0.0.1:%d", port)
}
