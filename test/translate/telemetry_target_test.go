package translate

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// targetsYAML has Telemetry objects that each tell, by a label, that they are in force.
const targetsYAML = servicesYAML + `
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec: {hosts: ["*"], gateways: [istio-system/gw], http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: ref, namespace: edge, creationTimestamp: "2026-01-02T00:00:00Z"}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: other}, {group: gateway.networking.k8s.io, kind: Gateway, name: mine}]
  metrics: [{overrides: [{tagOverrides: {by: {value: "'ref'"}}}]}]
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: older, namespace: edge, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {selector: {matchLabels: {tier: older}}, metrics: [{overrides: [{tagOverrides: {by: {value: "'older'"}}}]}]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: younger, namespace: edge, creationTimestamp: "2026-01-03T00:00:00Z"}
spec: {selector: {matchLabels: {tier: younger}}, metrics: [{overrides: [{tagOverrides: {by: {value: "'younger'"}}}]}]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: edge, namespace: edge, creationTimestamp: "2026-01-04T00:00:00Z"}
spec: {metrics: [{overrides: [{tagOverrides: {of: {value: "'namespace'"}}}]}]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: waypoints, namespace: default}
spec:
  targetRefs:
  - {kind: Service, name: reviews}
  - {group: networking.istio.io, kind: ServiceEntry, name: reviews}
  - {group: gateway.networking.k8s.io, kind: Gateway, name: mine}
  metrics: [{overrides: [{disabled: true}]}]
`

// A Telemetry object that names a Gateway of the Gateway API is for the proxies of its namespace that serve it, beside
// what its namespace says for all. One that names a service is for waypoints, and leaves sidecars alone, as does a
// Gateway's name that a sidecar's label has. Of one that names and one that selects the same proxy the older counts.
func TestTelemetryOfWhatItNames(t *testing.T) {
	const mine = model.GatewayNameLabel
	gateway := func(namespace string, labels ...string) Proxy {
		p := Proxy{Namespace: namespace, Type: model.RouterProxy, Labels: map[string]string{"istio": "ingressgateway"}}
		for i := 0; i+1 < len(labels); i += 2 {
			p.Labels[labels[i]] = labels[i+1]
		}
		return p
	}
	for name, c := range map[string]struct {
		proxy Proxy
		want  []string // the labels that objects set
	}{
		"named":                   {gateway("edge", mine, "mine"), []string{`by="ref"`, `of="namespace"`}},
		"named, of a younger one": {gateway("edge", mine, "mine", "tier", "younger"), []string{`by="ref"`, `of="namespace"`}},
		"named, of an older one":  {gateway("edge", mine, "mine", "tier", "older"), []string{`by="older"`, `of="namespace"`}},
		"not named":               {gateway("edge", mine, "third"), []string{`of="namespace"`}},
		"of no Gateway":           {gateway("edge"), []string{`of="namespace"`}},
		"of another namespace":    {gateway("istio-system", mine, "mine"), nil},
		"a sidecar":               {Proxy{Labels: map[string]string{"app": "reviews", mine: "mine"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			listener, host := "0.0.0.0_8080", "a.example"
			if c.proxy.Type != model.RouterProxy {
				listener, host = "0.0.0.0_9080", "reviews:9080"
			}
			port := envoytest.FreePort(t)
			h := startHop(t, hopConfig{
				res: translate(t, targetsYAML, c.proxy), workload: telemetry.WorkloadOf("gw", "edge", "Kubernetes", c.proxy.Labels),
				listeners: map[string][]int{listener: {port}}, secrets: envoytest.NewGate(t, "", envoytest.NewSecrets(t)).Socket,
			})
			h.servers.addr = "127.0.0.1:" + strconv.Itoa(port)
			h.servers.get(t, host, "/", nil)
			var got []string
			envoytest.Eventually(t, "the request is counted", func() bool {
				all := h.metrics("istio_requests_total")
				for series := range all {
					got = slices.DeleteFunc(strings.Fields(series)[1:], func(l string) bool { return !strings.HasPrefix(l, "by=") && !strings.HasPrefix(l, "of=") })
				}
				return len(all) > 0
			})
			if !slices.Equal(got, c.want) {
				t.Errorf("labels %v, want %v", got, c.want)
			}
		})
	}
}
