package translate

import (
	"net/http"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// The services of the cases below, with one port each but where it matters.
const servicesYAML = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {clusterIP: 10.96.0.2, selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: default}
spec: {clusterIP: 10.96.0.3, selector: {app: ratings}, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: details, namespace: default}
spec: {clusterIP: 10.96.0.4, selector: {app: details}, ports: [{name: http, port: 9080}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
`

// outbound names the cluster of a service of the default namespace on port 9080.
func outbound(subset, service string) string {
	return model.ClusterName("outbound", 9080, subset, service+".default.svc.cluster.local")
}

var ingress = Proxy{Name: "gateway-0", Namespace: "istio-system", Type: model.RouterProxy, Labels: map[string]string{"istio": "ingressgateway"}}

// in gives the same proxy in another namespace.
func (p Proxy) in(namespace string) Proxy {
	p.Namespace = namespace
	return p
}

// request is one of a trafficCase, with what is expected of it.
type request struct {
	host, path string
	header     http.Header
	status     int
	cluster    string // that was asked; "" for none
}

// trafficCase is requests to a listener of a proxy.
type trafficCase struct {
	yaml     string
	proxy    Proxy
	listener string
	requests []request
}

// What requests to one listener come to, as a real Envoy understands the translation.
func TestEnvoyTraffic(t *testing.T) {
	for name, c := range trafficCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, translate(t, servicesYAML+"\n---\n"+c.yaml, c.proxy), place{listener: c.listener})
			for _, r := range c.requests {
				res, a := s.get(t, r.host, r.path, r.header)
				if res.StatusCode != r.status || a.Cluster != r.cluster {
					t.Errorf("%s%s %v: %d from %q, want %d from %q", r.host, r.path, r.header, res.StatusCode, a.Cluster, r.status, r.cluster)
				}
			}
		})
	}
}

// trafficCases are about the faults of a kind each: what is said is what has to hold.
func trafficCases() map[string]trafficCase {
	return map[string]trafficCase{
		// A redirect to https holds for every host that the server has, whoever else names it.
		"https redirect": {
			yaml: `
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g, namespace: default}, spec: {selector: {istio: ingressgateway}, servers: [
  {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.example.com"], tls: {httpsRedirect: true}},
  {port: {number: 80, name: other, protocol: HTTP}, hosts: ["open.test"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a, namespace: default}, spec: {
  hosts: [a.example.com, "*.b.example.com", open.test], gateways: [g], http: [{route: [{destination: {host: reviews}}]}]}}
`,
			proxy: ingress, listener: "0.0.0.0_80",
			requests: []request{
				{"a.example.com", "/", nil, 301, ""},
				{"A.Example.COM", "/", nil, 301, ""},
				{"a.example.com.", "/", nil, 301, ""},
				{"a.example.com:80", "/", nil, 301, ""},
				{"a.example.com", "/", http.Header{"X-Forwarded-Proto": {"https"}}, 301, ""},
				{"x.b.example.com", "/", nil, 301, ""},
				{"unnamed.example.com", "/", nil, 301, ""},
				{"open.test", "/", nil, 200, outbound("", "reviews")},
			},
		},
		// Conditions on the source are about the gateway itself, and hide nothing where they do not hold.
		"sources at a gateway elsewhere": {
			yaml: sourcesYAML, proxy: ingress, listener: "0.0.0.0_80",
			requests: []request{
				{"src.example.com", "/", nil, 404, ""},
				{"src.example.com", "/admin", nil, 404, ""},
				{"src.example.com", "/public", nil, 200, outbound("", "reviews")},
			},
		},
		"sources at a gateway of the namespace": {
			yaml: sourcesYAML, proxy: ingress.in("default"), listener: "0.0.0.0_80",
			requests: []request{{"src.example.com", "/", nil, 200, outbound("", "ratings")}},
		},
		"sources at a gateway with the labels": {
			yaml: sourcesYAML, listener: "0.0.0.0_80",
			proxy: Proxy{Namespace: "istio-system", Type: model.RouterProxy, Labels: map[string]string{"istio": "ingressgateway", "app": "client"}},
			requests: []request{
				{"src.example.com", "/", nil, 404, ""},
				{"src.example.com", "/admin", nil, 200, outbound("", "details")},
			},
		},
		"sources of a sidecar": {
			yaml: sourcesYAML, listener: "0.0.0.0_9080", proxy: Proxy{Namespace: "other", Labels: map[string]string{"app": "client"}},
			requests: []request{
				{"reviews.default", "/admin", nil, 200, outbound("", "details")},
				{"reviews.default", "/public", nil, 200, outbound("", "reviews")},
				{"reviews.default", "/", nil, 404, ""},
			},
		},
		// Names are compared without case and final dot, as DNS does.
		"absolute names": {
			yaml: `
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a, namespace: default}, spec: {
  hosts: [Reviews.Default.svc.cluster.local.], http: [{route: [{destination: {host: REVIEWS.default.svc.cluster.local., subset: v2}}]}]}}
`,
			listener: "0.0.0.0_9080",
			requests: []request{
				{"reviews", "/", nil, 200, outbound("v2", "reviews")},
				{"reviews.default.svc.cluster.local", "/", nil, 200, outbound("v2", "reviews")},
				{"reviews.default.svc.cluster.local.", "/", nil, 200, outbound("v2", "reviews")},
				{"Reviews.default.svc.Cluster.local.:9080", "/", nil, 200, outbound("v2", "reviews")},
			},
		},
		"absolute names at a gateway": {
			yaml: `
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g, namespace: default}, spec: {selector: {istio: ingressgateway}, servers: [
  {port: {number: 80, name: http, protocol: HTTP}, hosts: ["./A.Example.com.", "*.Other.test."]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a, namespace: default}, spec: {
  hosts: [a.EXAMPLE.com, x.other.TEST.], gateways: [g], http: [{route: [{destination: {host: Reviews}}]}]}}
`,
			proxy: ingress, listener: "0.0.0.0_80",
			requests: []request{
				{"a.example.com", "/", nil, 200, outbound("", "reviews")},
				{"a.example.com.", "/", nil, 200, outbound("", "reviews")},
				{"X.other.test", "/", nil, 200, outbound("", "reviews")},
			},
		},
		// An older VirtualService that has no rule for the client hides no newer one.
		"no rule for this client": {
			yaml: `
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: a, namespace: default, creationTimestamp: "2020-01-01T00:00:00Z"}, spec: {
  hosts: [reviews], http: [
    {match: [{sourceNamespace: elsewhere}, {sourceLabels: {app: other}}, {port: 81}, {gateways: [some/gateway]}], route: [{destination: {host: ratings}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: b, namespace: default, creationTimestamp: "2021-01-01T00:00:00Z"}, spec: {
  hosts: [reviews], http: [{route: [{destination: {host: details}}]}]}}
`,
			listener: "0.0.0.0_9080",
			requests: []request{{"reviews", "/", nil, 200, outbound("", "details")}},
		},
		// At a gateway what is private comes first, then what is exported by name, then the rest, by age.
		"order at a gateway": {
			yaml: `
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g, namespace: istio-system}, spec: {selector: {istio: ingressgateway}, servers: [
  {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: public, namespace: default, creationTimestamp: "2020-01-01T00:00:00Z"}, spec: {
  hosts: [a.example.com, b.example.com, c.example.com], gateways: [istio-system/g], http: [{match: [{uri: {prefix: /x}}], route: [{destination: {host: reviews}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: younger, namespace: default, creationTimestamp: "2020-02-01T00:00:00Z"}, spec: {
  hosts: [c.example.com], gateways: [istio-system/g], http: [{match: [{uri: {prefix: /x/y}}], route: [{destination: {host: ratings}}]}, {match: [{uri: {prefix: /y}}], route: [{destination: {host: ratings}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: named, namespace: default, creationTimestamp: "2021-01-01T00:00:00Z"}, spec: {
  exportTo: [istio-system, other], hosts: [a.example.com, b.example.com], gateways: [istio-system/g], http: [{match: [{uri: {prefix: /x}}], route: [{destination: {host: ratings}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: private, namespace: istio-system, creationTimestamp: "2022-01-01T00:00:00Z"}, spec: {
  exportTo: ["."], hosts: [a.example.com], gateways: [g], http: [{match: [{uri: {prefix: /x}}], route: [{destination: {host: details.default.svc.cluster.local}}]}]}}
`,
			proxy: ingress, listener: "0.0.0.0_80",
			requests: []request{
				{"a.example.com", "/x", nil, 200, outbound("", "details")},
				{"b.example.com", "/x", nil, 200, outbound("", "ratings")},
				{"c.example.com", "/x/y", nil, 200, outbound("", "reviews")},
				{"c.example.com", "/y", nil, 200, outbound("", "ratings")},
			},
		},
		// A gateway has a name in several spellings.
		"names of gateways": {
			yaml: `
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: edge, namespace: istio-system}, spec: {selector: {istio: ingressgateway}, servers: [
  {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: fqdn, namespace: default}, spec: {
  hosts: [fqdn.example.com], gateways: [edge.istio-system.svc.cluster.local], http: [{match: [{gateways: [edge.istio-system.svc.cluster.local]}], route: [{destination: {host: reviews}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: slash, namespace: default}, spec: {
  hosts: [slash.example.com], gateways: [istio-system/edge], http: [{match: [{gateways: [istio-system/edge]}], route: [{destination: {host: reviews}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: dot, namespace: istio-system}, spec: {
  hosts: [dot.example.com], gateways: [./edge], http: [{match: [{gateways: [./edge]}], route: [{destination: {host: reviews.default.svc.cluster.local}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: short, namespace: istio-system}, spec: {
  hosts: [short.example.com], gateways: [edge], http: [{match: [{gateways: [edge]}], route: [{destination: {host: reviews.default.svc.cluster.local}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: other, namespace: default}, spec: {
  hosts: [other.example.com], gateways: [edge], http: [{route: [{destination: {host: reviews}}]}]}}
`,
			proxy: ingress, listener: "0.0.0.0_80",
			requests: []request{
				{"fqdn.example.com", "/", nil, 200, outbound("", "reviews")},
				{"slash.example.com", "/", nil, 200, outbound("", "reviews")},
				{"dot.example.com", "/", nil, 200, outbound("", "reviews")},
				{"short.example.com", "/", nil, 200, outbound("", "reviews")},
				{"other.example.com", "/", nil, 404, ""},
			},
		},
		// A number may stand for two ports, one of UDP, in either order.
		"a port of UDP and of TCP": {
			yaml: `
{apiVersion: v1, kind: Service, metadata: {name: both, namespace: default}, spec: {clusterIP: 10.96.0.8, selector: {app: both}, ports: [
  {name: quic, port: 8443, protocol: UDP}, {name: sctp, port: 8443, protocol: SCTP}, {name: http-web, port: 8443, protocol: TCP}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: both, namespace: default}, spec: {
  hosts: [both, also.example.com], http: [{match: [{port: 8443}], rewrite: {uri: /seen}, route: [{destination: {host: both, port: {number: 8443}}}]}, {route: [{destination: {host: both}}]}]}}
`,
			listener: "0.0.0.0_8443",
			requests: []request{{"both", "/", nil, 200, "outbound|8443||both.default.svc.cluster.local"}},
		},
		// A header that is not to have a value may be missing, whatever the value is.
		"without headers": {
			yaml: `
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: wo, namespace: default}, spec: {hosts: [reviews], http: [
  {match: [
    {uri: {prefix: /any}, withoutHeaders: {end-user: {regex: ".*"}}},
    {uri: {prefix: /exact}, withoutHeaders: {end-user: {exact: jason}}},
    {uri: {prefix: /nothing}, withoutHeaders: {end-user: {}}},
    {uri: {prefix: /maybe}, withoutHeaders: {end-user: {regex: "(jason)?"}}},
    {uri: {prefix: /two}, withoutHeaders: {end-user: {regex: "(jason)?"}, x-other: {regex: "a*"}}}],
   route: [{destination: {host: reviews, subset: v2}}]},
  {route: [{destination: {host: reviews, subset: v1}}]}]}}
`,
			listener: "0.0.0.0_9080",
			requests: []request{
				{"reviews", "/any", nil, 200, outbound("v2", "reviews")},
				{"reviews", "/any", user("jason"), 200, outbound("v1", "reviews")},
				{"reviews", "/exact", nil, 200, outbound("v2", "reviews")},
				{"reviews", "/exact", user("jason"), 200, outbound("v1", "reviews")},
				{"reviews", "/exact", user("mary"), 200, outbound("v2", "reviews")},
				{"reviews", "/nothing", nil, 200, outbound("v2", "reviews")},
				{"reviews", "/nothing", user("mary"), 200, outbound("v1", "reviews")},
				{"reviews", "/maybe", nil, 200, outbound("v2", "reviews")},
				{"reviews", "/maybe", user("jason"), 200, outbound("v1", "reviews")},
				{"reviews", "/maybe", user("mary"), 200, outbound("v2", "reviews")},
				{"reviews", "/two", nil, 200, outbound("v2", "reviews")},
				{"reviews", "/two", http.Header{"End-User": {"mary"}, "X-Other": {"b"}}, 200, outbound("v2", "reviews")},
				{"reviews", "/two", http.Header{"End-User": {"mary"}, "X-Other": {"aa"}}, 200, outbound("v1", "reviews")},
				{"reviews", "/two", http.Header{"X-Other": {"b"}}, 200, outbound("v2", "reviews")},
				{"reviews", "/two", user("jason"), 200, outbound("v1", "reviews")},
			},
		},
		// A Sidecar object imports hosts one by one, not all of a VirtualService that names one of them.
		"hosts that are not imported": {
			yaml: `
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: plain}, spec: {clusterIP: 10.96.0.9, ports: [{name: http, port: 80}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: hosts, namespace: plain}, spec: {
  hosts: [a.site.example, b.site.example, "*.wide.example"], http: [{route: [{destination: {host: web, port: {number: 80}}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: s, namespace: other}, spec: {
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}, egress: [{hosts: ["istio-system/*", "*/A.site.example.", "plain/c.wide.example"]}]}}
`,
			proxy: Proxy{Namespace: "other"}, listener: "0.0.0.0_80",
			requests: []request{
				{"a.site.example", "/", nil, 200, "outbound|80||web.plain.svc.cluster.local"},
				{"b.site.example", "/", nil, 502, ""},
				{"c.wide.example", "/", nil, 200, "outbound|80||web.plain.svc.cluster.local"},
				{"d.wide.example", "/", nil, 502, ""},
			},
		},
	}
}

func user(name string) http.Header { return http.Header{"End-User": {name}} }

const sourcesYAML = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: default}
spec:
  hosts: [reviews.default.svc.cluster.local, src.example.com]
  gateways: [g, mesh]
  http:
  - match: [{sourceNamespace: default}]
    route: [{destination: {host: ratings}}]
  - match: [{sourceLabels: {app: client}, uri: {prefix: /admin}}]
    route: [{destination: {host: details}}]
  - match: [{uri: {prefix: /public}}]
    route: [{destination: {host: reviews}}]
`
