package random

import (
	"fmt"
	"strings"
)

// virtualService is one of few, so that several name one host, by name or by a wildcard.
func (e *editor) virtualService() string {
	hosts := e.some(2, e.host(), e.host(), e.host(), e.service()+"."+e.namespace()+".svc.cluster.local",
		"w.example.com", "v.example.com", "'*.example.com'", "'*.a.svc.cluster.local'", "'*.svc.cluster.local'", "'*'")
	gateways := ""
	if e.rng.IntN(2) == 0 {
		gateways = "\n  gateways: [" + e.gatewayNames() + "]"
	}
	rules := e.httpRules(true)
	switch e.rng.IntN(6) {
	case 0:
		rules = "\n  tcp:" + e.tcpRules()
	case 1:
		rules = "\n  tls:" + e.tlsRules(hosts) + "\n  tcp:" + e.tcpRules()
	case 2:
		rules += "\n  tls:" + e.tlsRules(hosts)
	}
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: VirtualService
%s
spec:
  hosts: [%s]%s%s%s`, e.metadata(fmt.Sprintf("v%d", e.rng.IntN(3)), e.anyNamespace()), hosts, e.exportTo(), gateways, rules)
}

// delegate is a VirtualService without hosts, of a name that rules delegate to.
func (e *editor) delegate() string {
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: VirtualService
%s
spec:%s%s`, e.metadata("part"+e.one("0", "1"), e.anyNamespace()), e.exportTo(), e.httpRules(false))
}

// destination is where a rule leads: a service or a subset, sometimes by port.
func (e *editor) destination() string {
	return fmt.Sprintf("{host: %s%s%s}", e.host(), e.one("", "", ", subset: v1", ", subset: v2"),
		e.one("", "", "", ", port: {number: 80}", ", port: {number: 9000}"))
}

func (e *editor) httpRules(delegates bool) string {
	var b strings.Builder
	b.WriteString("\n  http:")
	for range 1 + e.rng.IntN(2) {
		fmt.Fprintf(&b, "\n  - match: [%s]", e.httpMatch())
		if delegates && e.rng.IntN(4) == 0 {
			fmt.Fprintf(&b, "\n    delegate: {name: part%s%s}", e.one("0", "1"), e.one("", ", namespace: a", ", namespace: b"))
		} else if e.rng.IntN(3) == 0 {
			fmt.Fprintf(&b, "\n    redirect: {uri: /%s}", e.one("x", "y"))
		} else {
			fmt.Fprintf(&b, "\n    timeout: %ds\n    route: [{destination: %s}]", 1+e.rng.IntN(5), e.destination())
		}
	}
	if e.rng.IntN(3) > 0 {
		fmt.Fprintf(&b, "\n  - route: [{destination: %s, weight: 30}, {destination: %s, weight: 70}]", e.destination(), e.destination())
	}
	return b.String()
}

// httpMatch is a list of one or two matches: of the request, of who sends it, and of where it arrives.
func (e *editor) httpMatch() string {
	one := func() string {
		return "{" + e.some(2, e.one("uri: {prefix: /x}", "uri: {prefix: /y}", "uri: {exact: /z}"), e.one("headers: {x: {exact: y}}", "headers: {\"@request.auth.claims.sub\": {exact: y}}"), "withoutHeaders: {\"@request.auth.claims[a][b]\": {exact: y}}",
			e.sourceLabels(), e.sourceNamespace(), "gateways: ["+e.gatewayNames()+"]", e.one("port: 80", "port: 8080")) + "}"
	}
	return e.some(2, one(), one())
}

func (e *editor) sourceLabels() string {
	return "sourceLabels: {" + e.one("app: s0", "app: s1", "version: v1", "app: s0, version: v2", "istio: ingressgateway") + "}"
}

func (e *editor) sourceNamespace() string {
	return "sourceNamespace: " + e.one("a", "b", "istio-system")
}

func (e *editor) tcpRules() string {
	match := ""
	if e.rng.IntN(4) > 0 {
		match = "match: [{" + e.some(2, e.one("port: 9000", "port: 80", "port: 443"), e.sourceLabels(), e.sourceNamespace(),
			"gateways: ["+e.gatewayNames()+"]", "destinationSubnets: ["+e.one("10.96.1.0/24", "10.96.1.1")+"]") + "}]\n    "
	}
	return fmt.Sprintf("\n  - %sroute: [{destination: %s}]", match, e.destination())
}

// tlsRules matches one of the hosts of its VirtualService.
func (e *editor) tlsRules(hosts string) string {
	sni := e.one(strings.Split(hosts, ", ")...)
	return fmt.Sprintf("\n  - match: [{sniHosts: [%s]%s}]\n    route: [{destination: %s}]", sni,
		e.one("", ", port: 443", ", "+e.sourceLabels(), ", "+e.sourceNamespace(), ", gateways: ["+e.gatewayNames()+"]"), e.destination())
}

// localities is what of a load balancer goes by the places of servers: failover, shares, or labels.
func (e *editor) localities() string {
	return "localityLbSetting: {enabled: true, " + e.one("failover: [{from: r1, to: r2}]", "distribute: [{from: 'r1/z1/*', to: {'r1/z1/*': 80, 'r1/z2/*': 20}}]",
		"failoverPriority: [topology.kubernetes.io/zone, version]", "failoverPriority: [app], failover: [{from: r1, to: r2}]", "failoverPriority: [kubernetes.io/hostname, app=b]") + "}"
}

// zones is what of it lets Envoy weigh zones.
func (e *editor) zones() string {
	return "zoneAwareLbSetting: {" + e.one("enabled: true", "enabled: false", "minClusterSize: 1", "failover: [{from: r1, to: r2}]", "failoverPriority: [version]") + "}"
}

func (e *editor) destinationRule() string {
	policy := e.one("loadBalancer: {simple: RANDOM}", "tls: {mode: DISABLE}", "tls: {mode: ISTIO_MUTUAL}",
		"connectionPool: {tcp: {connectTimeout: 2s}}", "connectionPool: {tcp: {connectTimeout: 4s}}", "outlierDetection: {consecutive5xxErrors: 3}",
		"loadBalancer: {consistentHash: {httpHeaderName: x}}", "loadBalancer: {consistentHash: {useSourceIp: true}}",
		"loadBalancer: {localityLbSetting: {enabled: true}, simple: ROUND_ROBIN}", "portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}]",
		"loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: "+e.one("0s", "5s")+"}}}", "retryBudget: {percent: "+e.one("10", "20")+"}", "proxyProtocol: {version: "+e.one("V1", "V2")+"}",
		"tunnel: {protocol: CONNECT, targetHost: t.example.com, targetPort: 443}", "loadBalancer: {simple: LEAST_REQUEST, warmup: {duration: 3s}}",
		"outlierDetection: {consecutive5xxErrors: 4}, loadBalancer: {"+e.localities()+"}", "loadBalancer: {"+e.zones()+"}")
	subsets := e.one("", "\n  subsets: [{name: v1, labels: {version: v1}}]",
		"\n  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}, trafficPolicy: {"+policy+"}}]")
	selector := e.one("", "", "", "", "\n  workloadSelector: {matchLabels: {app: s0}}", "\n  workloadSelector: {matchLabels: {version: v1}}",
		"\n  workloadSelector: {matchLabels: {istio: ingressgateway}}")
	host := e.one(e.host(), e.host(), e.host(), "'*.a.svc.cluster.local'", "'*.b.svc.cluster.local'", "'*.svc.cluster.local'", "'*.local'")
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: DestinationRule
%s
spec:
  host: %s
  trafficPolicy: {%s}%s%s%s`, e.metadata(fmt.Sprintf("d%d", e.rng.IntN(3)), e.anyNamespace()), host, policy, subsets, selector, e.exportTo())
}

// sidecar is one of a workload, of a namespace, or of the mesh, where it lives in the root namespace.
func (e *editor) sidecar() string {
	hosts := e.some(2, `"*/*"`, `"./*"`, `"a/*"`, "b/s1.b.svc.cluster.local", `"*/*.a.svc.cluster.local"`, `"*/w.example.com"`, `"*/*.example.com"`,
		`"~a/*"`, `"~/*"`)
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: Sidecar
%s
spec:%s%s%s
  egress:%s
  - hosts: [%s]`, e.metadata(fmt.Sprintf("c%d", e.rng.IntN(2)), e.anyNamespace()),
		e.one("", "\n  workloadSelector: {labels: {app: s0}}", "\n  workloadSelector: {labels: {version: v1}}"),
		e.one("", "", "\n  outboundTrafficPolicy: {mode: REGISTRY_ONLY}", "\n  outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: s1.b.svc.cluster.local, port: {number: 80}}}"),
		e.one("", "", "\n  ingress: ["+e.sidecarIngress()+"]", "\n  inboundConnectionPool: {tcp: {maxConnections: 3}}"),
		e.one("", "", "\n  - {port: {number: "+e.one("80", "9000", "7070")+", protocol: "+e.one("HTTP", "TCP")+", name: x}, hosts: ["+e.one(`"*/*"`, `"a/*"`)+"]}",
			"\n  - {port: {number: 7071, protocol: TCP, name: x}, bind: 127.0.0.1, captureMode: NONE, hosts: [\"*/*\"]}",
			"\n  - {port: {number: "+e.one("7072", "80")+", protocol: HTTP_PROXY, name: x}, bind: 127.0.0.1, captureMode: NONE, hosts: ["+e.one(`"*/*"`, `"a/*"`)+"]}"), hosts)
}

// sidecarIngress is an ingress listener of a sidecar.
func (e *editor) sidecarIngress() string {
	return fmt.Sprintf("{port: {number: %s, protocol: %s, name: x}%s}", e.one("8080", "9090", "9000"), e.one("HTTP", "TCP", "GRPC"),
		e.one("", ", defaultEndpoint: \"127.0.0.1:9000\"", ", defaultEndpoint: \"0.0.0.0:9001\"", ", captureMode: NONE, bind: 127.0.0.1, defaultEndpoint: \"127.0.0.1:9001\""))
}

// telemetry is one of a workload, of a namespace, or of the mesh.
func (e *editor) telemetry() string {
	mode := e.one("CLIENT", "SERVER", "CLIENT_AND_SERVER")
	say := e.one(
		"accessLogging: [{providers: [{name: envoy}], match: {mode: "+mode+"}"+e.one("", ", filter: {expression: response.code >= 400}")+"}]", "accessLogging: [{disabled: true}]",
		"metrics: [{overrides: [{match: {metric: "+e.one("ALL_METRICS", "REQUEST_COUNT", "TCP_SENT_BYTES", "TCP_CLOSED_CONNECTIONS")+", mode: "+mode+"}, disabled: "+e.one("true", "false")+"}]}]",
		"metrics: [{overrides: [{tagOverrides: {"+e.one("source_app", "response_flags")+": {operation: REMOVE}}}]}]")
	return fmt.Sprintf(`apiVersion: telemetry.istio.io/v1
kind: Telemetry
%s
spec: {%s%s}`, e.metadata(fmt.Sprintf("m%d", e.rng.IntN(2)), e.one("a", "b", "istio-system")),
		e.one("", "", "selector: {matchLabels: {app: s1}}, ", "selector: {matchLabels: {version: v1}}, "), say)
}

// peerAuthentication is one of a workload and its ports, of a namespace, or of the mesh.
func (e *editor) peerAuthentication() string {
	mode := func() string { return "{mode: " + e.one("STRICT", "PERMISSIVE", "DISABLE", "UNSET") + "}" }
	ports := ""
	selector := e.one("", "", "selector: {matchLabels: {app: s1}}, ", "selector: {matchLabels: {version: v1}}, ", "selector: {matchLabels: {app: s0}}, ")
	if selector != "" && e.rng.IntN(2) == 0 {
		ports = fmt.Sprintf(", portLevelMtls: {%s: %s}", e.one("8080", "9090", "9000"), mode())
	}
	return fmt.Sprintf(`apiVersion: security.istio.io/v1
kind: PeerAuthentication
%s
spec: {%smtls: %s%s}`, e.metadata(fmt.Sprintf("m%d", e.rng.IntN(2)), e.one("a", "b", "istio-system")), selector, mode(), ports)
}
