package random

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// editor makes random objects of every translated kind, of few names, so that they meet.
type editor struct {
	t   *testing.T
	rng *rand.Rand
}

func (e *editor) one(of ...string) string { return of[e.rng.IntN(len(of))] }

func (e *editor) namespace() string { return e.one("a", "b") }

func (e *editor) service() string { return fmt.Sprintf("s%d", e.rng.IntN(4)) }

// host is a service as a rule names it, rarely one that is not there.
func (e *editor) host() string {
	if e.rng.IntN(3) == 0 {
		return e.service() + "." + e.namespace() + ".svc.cluster.local"
	}
	return e.service()
}

// objects gives the new version of one or more random objects.
func (e *editor) objects() []*model.Object {
	makers := []func() string{
		e.pod, e.pod, e.pod, e.slice, e.serviceObject, e.serviceObject, e.virtualService, e.virtualService,
		e.destinationRule, e.destinationRule, e.gateway, e.sidecar, e.peerAuthentication, e.mesh, e.namespaceObject,
	}
	var text strings.Builder
	for range 1 + e.rng.IntN(3) {
		text.WriteString(makers[e.rng.IntN(len(makers))]() + "\n---\n")
	}
	return decode(e.t, text.String())
}

func decode(t *testing.T, text string) []*model.Object {
	t.Helper()
	objects, problems := file.Decode([]byte(text), "random.yaml")
	for _, p := range problems {
		if p.Severity == model.SeverityError {
			t.Fatalf("%v in\n%s", p, text)
		}
	}
	return objects
}

// start gives a first mesh.
func (e *editor) start() []*model.Object {
	var text strings.Builder
	for _, ns := range []string{"a", "b"} {
		for i := range 3 {
			fmt.Fprintf(&text, "%s\n---\n", e.serviceNamed(fmt.Sprintf("s%d", i), ns))
		}
	}
	out := decode(e.t, text.String())
	for range 10 {
		out = append(out, e.objects()...)
	}
	return out
}

// victim picks an object to delete; proxies' own pods mostly stay.
func (e *editor) victim(objects map[model.Key]*model.Object) (model.Key, bool) {
	keys := slices.SortedFunc(maps.Keys(objects), model.Key.Compare)
	if len(keys) < 8 {
		return model.Key{}, false
	}
	return keys[e.rng.IntN(len(keys))], true
}

func (e *editor) pod() string {
	i, ns := e.rng.IntN(6), e.namespace()
	subnet := map[string]int{"a": 1, "b": 2}[ns]
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: p%d, namespace: %s, labels: {app: s%d, version: %s%s}}
spec: {serviceAccountName: sa%d, nodeName: n%d, containers: [{name: app, image: x, ports: [{name: web, containerPort: %s}]}]}
status: {podIP: 10.0.%d.%d, phase: Running, conditions: [{type: Ready, status: "%s"}]}`,
		i, ns, e.rng.IntN(4), e.one("v1", "v2"), e.one("", ", security.istio.io/tlsMode: istio"),
		e.rng.IntN(2), e.rng.IntN(2), e.one("8080", "9090"), subnet, i+1, e.one("True", "True", "True", "False"))
}

func (e *editor) slice() string {
	svc := e.service()
	return fmt.Sprintf(`apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %s-x, namespace: %s, labels: {kubernetes.io/service-name: %s}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.0.9.%d], zone: %s, conditions: {ready: %s}}]`,
		svc, e.namespace(), svc, 1+e.rng.IntN(3), e.one("z1", "z2"), e.one("true", "false"))
}

func (e *editor) serviceObject() string { return e.serviceNamed(e.service(), e.namespace()) }

func (e *editor) serviceNamed(name, ns string) string {
	n := map[string]int{"a": 1, "b": 2}[ns]
	ports := e.one("{name: http, port: 80, targetPort: 8080}", "{name: http, port: 80, targetPort: web}, {name: tcp, port: 9000}",
		"{name: http, port: 80}, {name: http-admin, port: 81}", "{name: tls, port: 443}, {name: http, port: 80}", "{name: tcp, port: 80}")
	ip := fmt.Sprintf("10.96.%d.%s", n, name[1:])
	if e.rng.IntN(6) == 0 {
		ip = "None"
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %s, namespace: %s, annotations: {networking.istio.io/exportTo: "%s"}}
spec: {clusterIP: %s, selector: {app: %s}, ports: [%s]}`, name, ns, e.one("*", "*", "*", "."), ip, name, ports)
}

func (e *editor) virtualService() string {
	http := fmt.Sprintf(`
  http:
  - match: [{uri: {prefix: /%s}}]
    timeout: %ds
    route: [{destination: {host: %s}}]
  - route: [{destination: {host: %s, subset: %s}, weight: 30}, {destination: {host: %s}, weight: 70}]`,
		e.one("x", "y"), 1+e.rng.IntN(5), e.host(), e.host(), e.one("v1", "v2"), e.host())
	if e.rng.IntN(4) == 0 {
		http = fmt.Sprintf("\n  tcp:\n  - match: [{port: %s}]\n    route: [{destination: {host: %s}}]", e.one("9000", "80"), e.host())
	}
	gateways := e.one("", "", "\n  gateways: [mesh, a/g0]", "\n  gateways: [b/g1]")
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v%d, namespace: %s}
spec:
  hosts: [%s]
  exportTo: ["%s"]%s%s`, e.rng.IntN(3), e.namespace(), e.host(), e.one("*", "*", "."), gateways, http)
}

func (e *editor) destinationRule() string {
	policy := e.one("loadBalancer: {simple: RANDOM}", "tls: {mode: DISABLE}", "tls: {mode: ISTIO_MUTUAL}",
		"connectionPool: {tcp: {connectTimeout: 2s}}", "connectionPool: {tcp: {connectTimeout: 4s}}", "outlierDetection: {consecutive5xxErrors: 3}",
		"loadBalancer: {localityLbSetting: {enabled: true}, simple: ROUND_ROBIN}")
	subsets := e.one("", "\n  subsets: [{name: v1, labels: {version: v1}}]",
		"\n  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]")
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d%d, namespace: %s}
spec:
  host: %s
  trafficPolicy: {%s}%s`, e.rng.IntN(3), e.namespace(), e.one(e.host(), e.host(), `"*.svc.cluster.local"`), policy, subsets)
}

func (e *editor) gateway() string {
	i := e.rng.IntN(2)
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g%d, namespace: %s}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: %s, name: http, protocol: HTTP}, hosts: ["%s"]}`, i, []string{"a", "b"}[i], e.one("80", "8080"), e.one("*", "s1.example.com"))
}

func (e *editor) sidecar() string {
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: c%d, namespace: %s}
spec:%s
  egress:
  - hosts: [%s]`, e.rng.IntN(2), e.namespace(), e.one("", "\n  workloadSelector: {labels: {app: s0}}", "\n  workloadSelector: {labels: {version: v1}}"),
		e.one(`"*/*"`, `"./*"`, `"./*", "b/s1.b.svc.cluster.local"`, `"a/*"`))
}

func (e *editor) peerAuthentication() string {
	return fmt.Sprintf(`apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: m%d, namespace: %s}
spec: {%smtls: {mode: %s}}`, e.rng.IntN(2), e.one("a", "b", "istio-system"), e.one("", "", "selector: {matchLabels: {app: s1}}, "), e.one("STRICT", "PERMISSIVE", "DISABLE"))
}

func (e *editor) mesh() string {
	return fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "{connectTimeout: %ds, outboundTrafficPolicy: {mode: %s}, accessLogFile: '%s'}"}`,
		1+e.rng.IntN(2), e.one("ALLOW_ANY", "REGISTRY_ONLY"), e.one("", "/dev/stdout"))
}

func (e *editor) namespaceObject() string {
	return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {team: %s}}", e.namespace(), e.one("x", "y"))
}
