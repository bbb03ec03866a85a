package translate

import (
	"fmt"
	"strings"
)

// goodMesh is healthy, and uses each of the kinds of which a row has a bad object. Only bad objects speak of b.
const goodMesh = `
{apiVersion: v1, kind: Service, metadata: {name: a, namespace: default}, spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: b, namespace: default}, spec: {clusterIP: 10.96.0.2, selector: {app: b}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: default}, spec: {clusterIP: 10.96.0.3, selector: {app: a}, ports: [{name: tcp, port: 9000}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a-0, namespace: default, labels: {app: a, version: v1}}, spec: {containers: [{name: x, image: x}]}, status: {podIP: 10.1.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: gw-0, namespace: istio-system, labels: {istio: ingressgateway}}, spec: {containers: [{name: istio-proxy, image: x, args: [proxy, router]}]}, status: {podIP: 10.1.0.8, phase: Running, conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: good, namespace: default}, spec: {host: a, subsets: [{name: v1, labels: {version: v1}}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: good, namespace: default}, spec: {hosts: [a], http: [{match: [{uri: {regex: "/v[0-9]"}}], route: [{destination: {host: a, subset: v1}, weight: 30}, {destination: {host: a}, weight: 70}]}, {route: [{destination: {host: a}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: parent, namespace: default}, spec: {hosts: [parent.example.com], http: [{match: [{uri: {prefix: /x}}], delegate: {name: part}}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: part, namespace: default}, spec: {http: [{route: [{destination: {host: a}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: good, namespace: default}, spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [good.example.com]}, {port: {number: 443, name: https, protocol: HTTPS}, hosts: [good.example.com], tls: {mode: SIMPLE, credentialName: good}}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web, namespace: default}, spec: {hosts: [good.example.com], gateways: [good], http: [{route: [{destination: {host: a}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: good, namespace: default}, spec: {hosts: [api.example.com], addresses: [10.97.0.1], resolution: STATIC, ports: [{number: 7000, name: tcp, protocol: TCP}], endpoints: [{address: 10.98.0.1}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: good, namespace: default}, spec: {workloadSelector: {labels: {app: a}}, egress: [{hosts: ["./*"]}]}}
---
{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: good, namespace: default}, spec: {configPatches: [{applyTo: CLUSTER, match: {context: SIDECAR_OUTBOUND, cluster: {service: a.default.svc.cluster.local}}, patch: {operation: MERGE, value: {connect_timeout: 3s}}}]}}
`

// What of the healthy mesh speaks of b.
const (
	hostB = "routes 80 b.default.svc.cluster.local:80"
	toB   = "{route: [{destination: {host: b}}]}"
)

// object gives an object named worse.
func object(kind, spec string) string { return named("worse", kind, spec) }

func named(name, kind, spec string) string {
	version := "v1"
	if kind == "EnvoyFilter" {
		version = "v1alpha3"
	}
	return fmt.Sprintf("---\n{apiVersion: networking.istio.io/%s, kind: %s, metadata: {name: %s, namespace: default}, spec: {%s}}\n", version, kind, name, spec)
}

// rules gives a VirtualService of b.
func rules(http string) string { return object("VirtualService", "hosts: [b], http: ["+http+"]") }

// worseGateway gives a Gateway of one server.
func worseGateway(s string) string {
	return object("Gateway", "selector: {istio: ingressgateway}, servers: ["+s+"]")
}

// patchOf gives an EnvoyFilter of one patch.
func patchOf(patch string) string { return object("EnvoyFilter", "configPatches: [{"+patch+"}]") }

func badRows() []badInput {
	var all []badInput
	for _, rows := range [][]badInput{destinationRows(), regexRows(), largeRows(), delegateRows(), addressRows(), patchRows()} {
		all = append(all, rows...)
	}
	return all
}

// destinationRows are rules that lead nowhere or divide badly.
func destinationRows() []badInput {
	shares := func(first, second string) string {
		return rules("{route: [{destination: {host: b}, weight: " + first + "}, {destination: {host: a}, weight: " + second + "}]}")
	}
	const worse = "VirtualService/default/worse spec.http[0].route"
	return []badInput{
		{name: "an unknown host", objects: rules("{route: [{destination: {host: nowhere}}]}"), differs: []string{hostB}, problem: worse + "[0].destination.host"},
		{name: "an unknown subset", objects: rules("{route: [{destination: {host: b, subset: none}}]}"), differs: []string{hostB}, problem: worse + "[0].destination.subset"},
		{name: "a policy of an unknown host", objects: object("DestinationRule", "host: nowhere, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}"), fine: "it waits for its host"},
		{name: "a second policy of a host with a subset that is there", objects: object("DestinationRule", "host: a, subsets: [{name: v1, labels: {version: none}}]"), problem: "DestinationRule/default/worse spec.subsets[0].name"},
		{name: "weights that add up to 60", objects: shares("30", "30"), differs: []string{hostB}, fine: "they are shares of their sum, as in Istio"},
		{name: "weights of nothing", objects: shares("0", "0"), problem: worse},
		{name: "a negative weight", objects: shares("-1", "101"), problem: worse + "[0].weight"},
		{name: "weights beyond what Envoy adds up", objects: rules("{route: [" + strings.Repeat("{destination: {host: b}, weight: 2147483647}, ", 3) + "]}"), problem: worse},
	}
}

// regexRows do not compile, or explode where they are compiled or used.
func regexRows() []badInput {
	match := func(regex string) string {
		return rules("{match: [{uri: {regex: '" + regex + "'}}], route: [{destination: {host: b}}]}")
	}
	const worse = "VirtualService/default/worse spec.http[0].match[0].uri.regex"
	return []badInput{
		{name: "a regex that does not compile", objects: match("("), problem: worse},
		{name: "a regex of another engine", objects: match("(?=a)b"), problem: worse},
		{name: "a regex that repeats repetitions", objects: match("((a{1000}){1000}){1000}"), problem: worse},
		{name: "a regex of large classes", objects: match(`(\pL{100}){10}`), problem: worse},
		{name: "a regex as deep as a well", objects: match(strings.Repeat("(", 5000) + strings.Repeat(")", 5000)), problem: worse},
		{name: "a regex that others try again and again", objects: match("(a+)+(a|aa)*"), differs: []string{hostB}, fine: "RE2 takes time in proportion to the text"},
	}
}

// largeRows are as large as they may be, or larger.
func largeRows() []badInput {
	var many strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&many, "{match: [{uri: {exact: /%d}}], route: [{destination: {host: b}}]}, ", i)
	}
	long := strings.Repeat(strings.Repeat("x", 49)+".", 5) + "com" // of 253 characters
	of := func(host string) string { return object("VirtualService", "hosts: ["+host+"], http: ["+toB+"]") }
	entry := func(host string) string {
		return object("ServiceEntry", "hosts: ["+host+"], addresses: [10.97.0.2], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]")
	}
	return []badInput{
		{name: "10,000 routes", objects: rules(many.String() + toB), differs: []string{hostB}, fine: "as many are allowed"},
		{name: "rules of a host of 253 characters", objects: of(long), fine: "as many are allowed", adds: []string{"routes 80 " + long + ":80"}},
		{name: "rules of a host of 254 characters", objects: of("x" + long), problem: "VirtualService/default/worse spec.hosts[0]"},
		{name: "an entry of a host of 253 characters", objects: entry(long), fine: "as many are allowed", adds: []string{"clusters outbound|80||" + long}},
		{name: "an entry of a host of 254 characters", objects: entry("x" + long), problem: "ServiceEntry/default/worse spec.hosts[0]"},
	}
}

// delegateRows lead in a circle.
func delegateRows() []badInput {
	return []badInput{
		{
			name: "a rule that delegates to its own object", objects: rules("{match: [{uri: {prefix: /x}}], delegate: {name: worse}}, " + toB),
			differs: []string{hostB}, problem: "VirtualService/default/worse spec.http[0].delegate",
		},
		{
			name: "delegates in a circle", objects: rules("{match: [{uri: {prefix: /x}}], delegate: {name: worst}}, "+toB) +
				named("worst", "VirtualService", "http: [{delegate: {name: worse}}]"),
			differs: []string{hostB}, problem: "VirtualService/default/worst spec.http[0].delegate",
		},
	}
}

// addressRows want what others have: hosts, ports and addresses.
func addressRows() []badInput {
	entry := func(name, more string) string { return named(name, "ServiceEntry", more) }
	const gateway = "Gateway/default/worse spec.servers[0]"
	return []badInput{
		{name: "a gateway of a TLS host that another has", objects: worseGateway("{port: {number: 443, name: x, protocol: HTTPS}, hosts: [good.example.com], tls: {mode: SIMPLE, credentialName: good}}"), problem: gateway + ".hosts[0]"},
		{name: "a gateway of plain HTTP on a port of TLS", objects: worseGateway("{port: {number: 443, name: x, protocol: HTTP}, hosts: [x.example.com]}"), problem: gateway + ".port.protocol"},
		{name: "a gateway of TCP on a port of HTTP", objects: worseGateway("{port: {number: 80, name: x, protocol: TCP}, hosts: ['*']}"), problem: gateway + ".port.protocol"},
		{
			name: "two entries of TCP on one address", problem: "ServiceEntry/default/worse spec.ports[port=7000]",
			objects: entry("worse", "hosts: [x.example.com], addresses: [10.97.0.1], resolution: STATIC, ports: [{number: 7000, name: tcp, protocol: TCP}], endpoints: [{address: 10.98.0.2}]"),
		},
		{
			name: "two listeners of one Sidecar on one address", problem: "Sidecar/default/worse spec.egress[1]",
			objects: object("Sidecar", "workloadSelector: {labels: {app: b}}, egress: [{port: {number: 9999, protocol: HTTP, name: x}, bind: 127.0.0.1, hosts: ['./*']}, {port: {number: 9999, protocol: HTTP, name: y}, bind: 127.0.0.1, hosts: ['./*']}]"),
		},
		{
			name: "two servers of one Sidecar on one port", problem: "Sidecar/default/worse spec.ingress[1]",
			objects: object("Sidecar", "workloadSelector: {labels: {app: b}}, ingress: [{port: {number: 8080, protocol: HTTP, name: x}, defaultEndpoint: '127.0.0.1:1'}, {port: {number: 8080, protocol: HTTP, name: y}, defaultEndpoint: '127.0.0.1:2'}]"),
		},
		{
			name: "an entry that shadows a Service", problem: "ServiceEntry/default/worse spec.hosts",
			differs: []string{"endpoints outbound|80||b.default.svc.cluster.local"}, // which both have, as in Istio
			objects: entry("worse", "hosts: [b.default.svc.cluster.local], addresses: [10.97.0.3], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 10.98.0.3}]"),
		},
	}
}

// patchRows are EnvoyFilters that make what is invalid, or what Envoy refuses.
func patchRows() []badInput {
	ofB := func(value string) string {
		return patchOf("applyTo: CLUSTER, match: {context: SIDECAR_OUTBOUND, cluster: {service: b.default.svc.cluster.local}}, patch: {operation: MERGE, value: {" + value + "}}")
	}
	const patch = "EnvoyFilter/default/worse spec.configPatches[0].patch"
	const lua = `{name: worse, address: {socket_address: {address: 127.0.0.1, port_value: 19999}}, filter_chains: [{filters: [{name: http, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: x, route_config: {name: x}, http_filters: [{name: lua, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, inline_code: "function ("}}, {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}]}]}`
	return []badInput{
		{name: "a patch whose message is invalid", objects: ofB("connect_timeout: -1s"), problem: patch},
		{name: "a patch of a field that is none", objects: ofB("no_such_field: 1"), problem: patch + ".value"},
		{name: "a patch of an unknown type", objects: ofB(`transport_socket: {name: x, typed_config: {"@type": type.googleapis.com/no.such.Type}}`), problem: patch + ".value"},
		{
			name: "a patch whose listener Envoy refuses", objects: patchOf("applyTo: LISTENER, match: {context: SIDECAR_OUTBOUND}, patch: {operation: ADD, value: " + lua + "}"),
			refused: "worse", fine: "Envoy alone knows Lua; TestARejectionNamesThePatches has the problem that follows", adds: []string{"listeners worse"},
		},
	}
}
