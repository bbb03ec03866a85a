package resolve_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

const workloads = `
apiVersion: v1
kind: Service
metadata: {name: a, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{name: http, port: 80, targetPort: web}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a-0, namespace: default, labels: {app: a, pod: zero}}
spec: {containers: [{name: app, image: x, ports: [{name: web, containerPort: 8080}]}]}
status: {podIP: 10.0.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a-1, namespace: default, labels: {app: a, pod: one}}
spec: {containers: [{name: app, image: x, ports: [{name: web, containerPort: 9090}]}]}
status: {podIP: 10.0.0.2, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: default}
spec:
  hosts: [a]
  http:
  - match: [{sourceLabels: {app: a}}, {sourceLabels: {app: b, tier: front}}]
    route: [{destination: {host: a}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: one, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: two, namespace: other}
spec: {selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
`

func sidecar(name string, labels map[string]string, ips ...string) *model.Proxy {
	return &model.Proxy{Type: model.SidecarProxy, Name: name, Namespace: "default", Labels: labels, IPs: ips}
}

func TestClassHoldsOutcomes(t *testing.T) {
	r := read(t, workloads)
	c := resolve.Classify(r, sidecar("a-0", map[string]string{"app": "stale"}, "10.0.0.1"))
	want := []resolve.InboundPort{{
		Service: model.Key{Kind: model.KindService, Namespace: "default", Name: "a"}, Host: "a.default.svc.cluster.local",
		Port: 80, Name: "http", Protocol: model.ProtocolHTTP, TargetPort: 8080,
	}}
	if diff := cmp.Diff(want, c.Inbound); diff != "" {
		t.Errorf("inbound: the Pod object decides, and a named target is a number:\n%s", diff)
	}
	if !slices.Contains(c.SourceLabels, "app=a") || slices.Contains(c.SourceLabels, "app=b,tier=front") {
		t.Errorf("source labels %v", c.SourceLabels)
	}
	if len(c.Gateways) != 0 {
		t.Errorf("a sidecar has gateways %v", c.Gateways)
	}
	if other := resolve.Classify(r, sidecar("a-1", nil, "10.0.0.2")); other.Key == c.Key {
		t.Error("another target port is another outcome, but the class is the same")
	}
	stranger := resolve.Classify(r, sidecar("elsewhere", map[string]string{"app": "b", "tier": "front"}))
	if len(stranger.Inbound) != 0 || !slices.Contains(stranger.SourceLabels, "app=b,tier=front") {
		t.Errorf("a proxy without a Pod object is known by its node's labels: %+v", stranger)
	}
}

func TestRouterClassHoldsItsGateways(t *testing.T) {
	p := sidecar("gw", map[string]string{"istio": "ingressgateway"})
	p.Type = model.RouterProxy
	c := resolve.Classify(read(t, workloads), p)
	if want := []model.Key{{Kind: model.KindGateway, Namespace: "default", Name: "one"}}; !slices.Equal(c.Gateways, want) {
		t.Errorf("gateways %v, want %v", c.Gateways, want)
	}
}

func TestSidecarSelection(t *testing.T) {
	object := func(namespace, name, created, selector string) string {
		return `
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: ` + name + `, namespace: ` + namespace + `, creationTimestamp: "2026-01-0` + created + `T00:00:00Z"}
spec: {` + selector + `egress: [{hosts: ["*/*"]}]}
`
	}
	const app = "workloadSelector: {labels: {app: a}}, "
	for name, c := range map[string]struct{ input, want string }{
		"none": {"", ""},
		"selector over defaults": {object("istio-system", "root", "1", "") + object("default", "ns", "1", "") +
			object("default", "app", "2", app), "app"},
		"the oldest selector":             {object("default", "x", "2", app) + object("default", "y", "1", app), "y"},
		"the namespace's default":         {object("istio-system", "root", "1", "") + object("default", "ns", "2", ""), "ns"},
		"the root's default":              {object("istio-system", "root", "1", ""), "root"},
		"not the root's selector":         {object("istio-system", "root", "1", app), ""},
		"not that of another workload":    {object("default", "x", "1", "workloadSelector: {labels: {app: b}}, "), ""},
		"the oldest default of namespace": {object("default", "x", "2", "") + object("default", "y", "1", ""), "y"},
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, c.input)
			p := sidecar("p", map[string]string{"app": "a"})
			if got := resolve.Classify(r, p).Sidecar.Name; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			p.Type = model.RouterProxy
			if got := resolve.Classify(r, p).Sidecar.Name; got != "" {
				t.Errorf("a router has %q", got)
			}
		})
	}
}
