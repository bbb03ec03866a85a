package validate_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// object decodes a spec of one kind; what does not decode fails the test.
func object(t *testing.T, kind, body string) *model.Object {
	t.Helper()
	api := map[string]string{
		"Service": "v1", "Pod": "v1", "EndpointSlice": "discovery.k8s.io/v1", "PeerAuthentication": "security.istio.io/v1",
		"AuthorizationPolicy": "security.istio.io/v1", "RequestAuthentication": "security.istio.io/v1", "Telemetry": "telemetry.istio.io/v1",
	}[kind]
	if api == "" {
		api = "networking.istio.io/v1"
	}
	switch kind {
	case "EnvoyFilter":
		api = "networking.istio.io/v1alpha3"
	case "ProxyConfig":
		api = "networking.istio.io/v1beta1"
	}
	text := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: x, namespace: apps}\n%s\n", api, kind, body)
	objects, problems := file.Decode([]byte(text), "x.yaml")
	if len(objects) != 1 { // what of it nothing reads is another matter
		t.Fatalf("decode %s: %v", body, problems)
	}
	return objects[0]
}

// TestRules gives each rule a spec that breaks it. want is "field: part of the message" with "W "
// before it for a warning; an empty one means that nothing is wrong.
func TestRules(t *testing.T) {
	vs := func(http string) string { return "spec: {hosts: [a], http: [" + http + "]}" }
	route := "route: [{destination: {host: b}}]"
	dr := func(policy string) string { return "spec: {host: a, trafficPolicy: {" + policy + "}}" }
	gw := func(server string) string { return "spec: {selector: {a: b}, servers: [{" + server + "}]}" }
	ef := func(patch string) string { return "spec: {configPatches: [" + patch + "]}" }
	tests := []struct{ kind, body, want string }{
		{"ProxyConfig", "spec: {concurrency: 0, environmentVariables: {A: b}}", ""},
		{"ProxyConfig", "spec: {concurrency: -1}", "spec.concurrency: negative"},
		{"ProxyConfig", "spec: {environmentVariables: {'': b}}", "spec.environmentVariables: empty name"},
		{"ProxyConfig", "spec: {selector: {matchLabels: {'a b': c}}}", "spec.selector.matchLabels: no label name"},
		{"EnvoyFilter", ef("{applyTo: CLUSTER, patch: {operation: REMOVE}}"), ""},
		{"EnvoyFilter", "spec: {}", "W spec.configPatches: empty"},
		{"EnvoyFilter", "spec: {workloadSelector: {labels: {a: b}}, targetRefs: [{kind: Gateway, name: g}], configPatches: [{applyTo: CLUSTER, patch: {operation: REMOVE}}]}", "spec.targetRefs: workloadSelector"},
		{"EnvoyFilter", "spec: {targetRefs: [{kind: Gateway}], configPatches: [{applyTo: CLUSTER, patch: {operation: REMOVE}}]}", "spec.targetRefs[0]: kind and name"},
		{"EnvoyFilter", ef("{applyTo: CLUSTER, match: {proxy: {proxyVersion: '('}}, patch: {operation: REMOVE}}"), "spec.configPatches[0].match.proxy.proxyVersion: no regular expression"},
		{"EnvoyFilter", ef("{applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {name: x, subFilter: {name: y}}}}}, patch: {operation: REMOVE}}"), "spec.configPatches[0].match.listener.filterChain.filter.subFilter: no effect"},
		{"EnvoyFilter", ef("{applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {}}}}, patch: {operation: REMOVE}}"), "W spec.configPatches[0].match.listener.filterChain.filter.name: empty"},
		{"EnvoyFilter", ef("{applyTo: LISTENER, match: {listener: {filterChain: {filter: {name: x}}}}, patch: {operation: REMOVE}}"), "W spec.configPatches[0].match.listener.filterChain.filter: no effect on LISTENER"},
		{"EnvoyFilter", ef("{applyTo: FILTER_CHAIN, match: {listener: {filterChain: {filter: {name: x}}}}, patch: {operation: REMOVE}}"), "W spec.configPatches[0].match.listener.filterChain.filter: no effect on FILTER_CHAIN"},
		{"EnvoyFilter", ef("{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: x, subFilter: {name: y}}}}}, patch: {operation: REMOVE}}"), "spec.configPatches[0].match.listener.filterChain.filter.name: no HTTP filters"},
		{"EnvoyFilter", ef("{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {}}}}}, patch: {operation: REMOVE}}"), "spec.configPatches[0].match.listener.filterChain.filter.subFilter.name: empty"},
		{"EnvoyFilter", ef("{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: y}}}}}, patch: {operation: REMOVE}}"), ""},
		{"EnvoyFilter", ef("{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: envoy.http_connection_manager, subFilter: {name: y}}}}}, patch: {operation: REMOVE}}"), "W spec.configPatches[0].match.listener.filterChain.filter.name: no name of the mesh's filters"},
		{"EnvoyFilter", ef("{applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.router}}}}}, patch: {operation: REMOVE}}"), "W spec.configPatches[0].match.listener.filterChain.filter.subFilter.name: no name of the mesh's filters"},
		{"EnvoyFilter", ef("{applyTo: CLUSTER, patch: {operation: REPLACE, value: {name: x}}}"), "W spec.configPatches[0].patch.operation: REPLACE is not possible for CLUSTER"},
		{"EnvoyFilter", ef("{applyTo: EXTENSION_CONFIG, match: {listener: {portNumber: 80}}, patch: {operation: ADD, value: {name: x, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}"), "W spec.configPatches[0].match: says nothing of EXTENSION_CONFIG"},
		{"EnvoyFilter", ef("{applyTo: CLUSTER, patch: {operation: MERGE}}"), "spec.configPatches[0].patch.value: no value"},
		{"DestinationRule", dr("loadBalancer: {localityLbSetting: {failoverPriority: [app]}}"), ""},
		{"VirtualService", vs("{" + route + "}"), ""},
		{"VirtualService", "spec: {hosts: [a]}", "spec: no routes"},
		{"VirtualService", "spec: {hosts: ['a b'], http: [{" + route + "}]}", "spec.hosts[0]: no host"},
		{"VirtualService", "spec: {hosts: ['*'], http: [{" + route + "}]}", "spec.hosts[0]: sidecars"},
		{"VirtualService", "spec: {hosts: ['*'], gateways: [g], http: [{" + route + "}]}", ""},
		{"VirtualService", "spec: {hosts: [a, a], http: [{" + route + "}]}", "spec.hosts[1]: twice"},
		{"VirtualService", "spec: {gateways: [g], http: [{" + route + "}]}", "spec.gateways: delegate"},
		{"VirtualService", "spec: {hosts: [a], gateways: [a/b/c], http: [{" + route + "}]}", "spec.gateways[0]: no Gateway"},
		{"VirtualService", "spec: {hosts: [a], exportTo: [A_], http: [{" + route + "}]}", "spec.exportTo[0]: no namespace"},
		{"VirtualService", "spec: {hosts: [a], exportTo: ['*', b], http: [{" + route + "}]}", "W spec.exportTo: overrides"},
		{"VirtualService", vs("{}"), "spec.http[0]: does nothing"},
		{"VirtualService", vs("{" + route + ", redirect: {uri: /}}"), "spec.http[0]: redirect and route"},
		{"VirtualService", vs("{delegate: {namespace: n}}"), "spec.http[0].delegate.name: missing"},
		{"VirtualService", "spec: {http: [{delegate: {name: n}}]}", "spec.http[0].delegate: cannot be in a delegate"},
		{"VirtualService", vs("{delegate: {name: n}, match: [{uri: {regex: a}}]}"), ""},
		{"VirtualService", vs("{" + route + "}, {" + route + "}"), "W spec.http[1]: never reached"},
		{"VirtualService", vs("{delegate: {name: x}}, {" + route + "}"), ""},
		{"VirtualService", vs("{route: [{destination: {host: b}, weight: -1}]}"), "spec.http[0].route[0].weight: negative"},
		{"VirtualService", vs("{route: [{destination: {host: b}}, {destination: {host: c}}]}"), "spec.http[0].route: weight 0"},
		{"VirtualService", vs("{route: [{weight: 1}]}"), "spec.http[0].route[0].destination: missing"},
		{"VirtualService", vs("{route: [{destination: {host: '*.b'}}]}"), ""},
		{"VirtualService", vs("{route: [{destination: {host: '*'}}]}"), "spec.http[0].route[0].destination.host: no hostname"},
		{"VirtualService", vs("{route: [{destination: {host: b, port: {number: 70000}}}]}"), "spec.http[0].route[0].destination.port.number: no port"},
		{"VirtualService", vs("{route: [{destination: {host: b, subset: 'a|b'}}]}"), "spec.http[0].route[0].destination.subset: no name"},
		{"VirtualService", vs("{match: [{uri: {regex: '('}}], " + route + "}"), "spec.http[0].match[0].uri.regex: RE2"},
		{"VirtualService", vs(`{match: [{uri: {regex: '/\p{Letter}'}}], ` + route + "}"), `spec.http[0].match[0].uri.regex: has \p{Letter}`},
		{"VirtualService", vs(`{match: [{uri: {regex: '/\x{20AC}'}}], ` + route + "}"), `spec.http[0].match[0].uri.regex: has \x{20AC}`},
		{"VirtualService", vs("{match: [{headers: {a: {regex: ''}}}], " + route + "}"), "spec.http[0].match[0].headers[a].regex: empty"},
		{"VirtualService", vs("{match: [{headers: {'a b': {exact: c}}}], " + route + "}"), "W spec.http[0].match[0].headers[a b]: no name"},
		{"VirtualService", vs("{match: [{headers: {uri: {exact: c}}}], " + route + "}"), "W spec.http[0].match[0].headers[uri]: match.uri"},
		{"VirtualService", vs("{timeout: -1s, " + route + "}"), "spec.http[0].timeout: out of range"},
		{"VirtualService", vs("{retries: {attempts: -1}, " + route + "}"), "spec.http[0].retries.attempts: negative"},
		{"VirtualService", vs("{retries: {attempts: 0, retryOn: 5xx}, " + route + "}"), "spec.http[0].retries.attempts: turns retries off"},
		{"VirtualService", vs("{retries: {attempts: 1, retryOn: '5xx,foo'}, " + route + "}"), "spec.http[0].retries.retryOn: foo"},
		{"VirtualService", vs("{retries: {attempts: 1, retryOn: '5xx,503'}, " + route + "}"), ""},
		{"VirtualService", vs("{retries: {attempts: 1, retryOn: '+503'}, " + route + "}"), "spec.http[0].retries.retryOn: +503"},
		{"VirtualService", vs("{retries: {attempts: 1, perTryTimeout: 0.0001s}, " + route + "}"), "spec.http[0].retries.perTryTimeout: too short"},
		{"VirtualService", vs("{fault: {}, " + route + "}"), "spec.http[0].fault: does nothing"},
		{"VirtualService", vs("{fault: {abort: {httpStatus: 99, percentage: {value: 10}}}, " + route + "}"), "spec.http[0].fault.abort.httpStatus: status"},
		{"VirtualService", vs("{fault: {abort: {grpcStatus: NOPE}}, " + route + "}"), "spec.http[0].fault.abort.grpcStatus: gRPC"},
		{"VirtualService", vs("{fault: {delay: {fixedDelay: 1s, percentage: {value: 101}}}, " + route + "}"), "spec.http[0].fault.delay.percentage.value: percentage"},
		{"VirtualService", vs("{fault: {delay: {percentage: {value: 1}}}, " + route + "}"), "W spec.http[0].fault.delay: does nothing"},
		{"VirtualService", vs("{fault: {abort: {percentage: {value: 1}}}, " + route + "}"), "W spec.http[0].fault.abort: does nothing"},
		{"VirtualService", "spec: {hosts: ['*-a.b'], http: [{" + route + "}]}", ""},
		{"VirtualService", "spec: {hosts: ['*a.b'], http: [{" + route + "}]}", ""},
		{"VirtualService", "spec: {hosts: ['**a.b'], http: [{" + route + "}]}", "spec.hosts[0]: no host"},
		{"VirtualService", "spec: {hosts: ['a*.b'], http: [{" + route + "}]}", "spec.hosts[0]: no host"},
		{"VirtualService", "spec: {hosts: ['*-a.b', x-a.b], http: [{" + route + "}]}", "spec.hosts[1]: overlaps"},
		{"VirtualService", "spec: {hosts: [x-a.b, '*-a.b'], http: [{" + route + "}]}", "spec.hosts[1]: overlaps"},
		{"VirtualService", "spec: {hosts: ['*-a.b', '*.b'], http: [{" + route + "}]}", "spec.hosts[1]: overlaps"},
		{"VirtualService", "spec: {hosts: ['*-a.b', x.b], http: [{" + route + "}]}", ""},
		{"VirtualService", "spec: {hosts: ['*-a.b'], tls: [{match: [{sniHosts: [x-a.b]}], " + route + "}]}", ""},
		{"VirtualService", "spec: {hosts: ['*-a.b'], tls: [{match: [{sniHosts: ['*-a.b']}], " + route + "}]}", "spec.tls[0].match[0].sniHosts[0]: no host"},
		{"VirtualService", vs("{redirect: {redirectCode: 200, uri: /}}"), "spec.http[0].redirect.redirectCode: status"},
		{"VirtualService", vs("{redirect: {uri: /}, fault: {abort: {httpStatus: 500}}}"), "spec.http[0].fault: redirect"},
		{"VirtualService", vs("{directResponse: {status: 42}}"), "spec.http[0].directResponse.status: status"},
		{"VirtualService", vs("{rewrite: {}, " + route + "}"), "spec.http[0].rewrite: rewrites nothing"},
		{"VirtualService", vs(`{rewrite: {uriRegexRewrite: {match: '(a)', rewrite: '\2'}}, ` + route + "}"), "spec.http[0].rewrite.uriRegexRewrite.rewrite: group 2"},
		{"VirtualService", vs("{headers: {request: {remove: [':authority']}}, " + route + "}"), "spec.http[0].headers.request.remove[0]: cannot be changed"},
		{"VirtualService", vs("{headers: {request: {set: {'Host': b}}}, " + route + "}"), ""},
		{"VirtualService", vs("{headers: {response: {set: {a: '100%'}}}, " + route + "}"), "spec.http[0].headers.response.set[a]: percent"},
		{"VirtualService", vs("{headers: {response: {set: {a: '100%% %REQ(a?b):7%'}}}, " + route + "}"), ""},
		{"VirtualService", vs("{corsPolicy: {maxAge: 1.5s}, " + route + "}"), "spec.http[0].corsPolicy.maxAge: whole"},
		{"VirtualService", vs("{mirror: {host: b}, mirrors: [{destination: {host: b}}], " + route + "}"), "spec.http[0]: mirror and mirrors"},
		{"VirtualService", "spec: {hosts: [a], tls: [{" + route + "}]}", "spec.tls[0].match: missing"},
		{"VirtualService", "spec: {hosts: [a.b], tls: [{match: [{sniHosts: [c.d]}], " + route + "}]}", "spec.tls[0].match[0].sniHosts[0]: spec.hosts"},
		{"VirtualService", "spec: {hosts: [A.b.], tls: [{match: [{sniHosts: [a.B]}], " + route + "}]}", ""},
		{"VirtualService", "spec: {hosts: [a], tcp: [{match: [{destinationSubnets: [x]}], " + route + "}]}", "spec.tcp[0].match[0].destinationSubnets[0]: subnet"},
		{"VirtualService", "spec: {hosts: [a], tcp: [{}]}", "spec.tcp[0].route: missing"},

		{"DestinationRule", "spec: {host: a, subsets: [{name: v1, labels: {version: v1}}]}", ""},
		{"DestinationRule", "spec: {}", "spec.host: missing"},
		{"DestinationRule", "spec: {host: a, subsets: [{name: v1}, {name: v1}]}", "spec.subsets[1].name: another subset"},
		{"DestinationRule", "spec: {host: a, subsets: [{labels: {a: b}}]}", "spec.subsets[0].name: missing"},
		{"DestinationRule", "spec: {host: a, subsets: [{name: v1, labels: {'a b': c}}]}", "spec.subsets[0].labels: label name"},
		{"DestinationRule", dr("tls: {mode: MUTUAL}"), "spec.trafficPolicy.tls: key pair"},
		{"DestinationRule", dr("tls: {mode: ISTIO_MUTUAL, credentialName: x}"), "W spec.trafficPolicy.tls: ISTIO_MUTUAL"},
		{"DestinationRule", dr("tls: {mode: ISTIO_MUTUAL, clientCertificate: /a, credentialName: x}"), "W spec.trafficPolicy.tls: ISTIO_MUTUAL"},
		{"DestinationRule", dr("tls: {mode: ISTIO_MUTUAL, insecureSkipVerify: true, subjectAltNames: [a]}"), "W spec.trafficPolicy.tls: ISTIO_MUTUAL"},
		{"DestinationRule", dr("tls: {mode: DISABLE, clientCertificate: /a, credentialName: x}"), ""},
		{"DestinationRule", dr("tls: {mode: SIMPLE, caCertificates: /a, credentialName: x}"), "spec.trafficPolicy.tls.credentialName: keep one"},
		{"DestinationRule", dr("loadBalancer: {consistentHash: {useSourceIp: false}}"), "W spec.trafficPolicy.loadBalancer.consistentHash.useSourceIp: nothing to hash"},
		{"DestinationRule", dr("tunnel: {targetHost: a.b, targetPort: 80}, proxyProtocol: {version: V2}"), "spec.trafficPolicy.tunnel: proxyProtocol"},
		{"DestinationRule", "spec: {host: '*-a.b'}", ""},
		{"DestinationRule", dr("loadBalancer: {consistentHash: {}}"), "W spec.trafficPolicy.loadBalancer.consistentHash: nothing to hash"},
		{"DestinationRule", dr("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 4}}}"), "spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize: prime"},
		{"DestinationRule", dr("loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 50}}]}}"), "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to: 50"},
		{"DestinationRule", dr("loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}"), "spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0]: itself"},
		{"DestinationRule", dr("outlierDetection: {maxEjectionPercent: 101}"), "spec.trafficPolicy.outlierDetection.maxEjectionPercent: percentage"},
		{"DestinationRule", dr("outlierDetection: {interval: 0s}"), "spec.trafficPolicy.outlierDetection.interval: too short"},
		{"DestinationRule", dr("connectionPool: {tcp: {maxConnections: -1}}"), "spec.trafficPolicy.connectionPool.tcp.maxConnections: negative"},
		{"DestinationRule", dr("connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}"), "spec.trafficPolicy.connectionPool.http.useClientProtocol: contradicts"},
		{"DestinationRule", dr("portLevelSettings: [{tls: {mode: SIMPLE}}]"), "spec.trafficPolicy.portLevelSettings[0].port: missing"},
		{"DestinationRule", dr("portLevelSettings: [{port: {number: 1}}, {port: {number: 1}}]"), "W spec.trafficPolicy.portLevelSettings[1].port.number: already"},

		{"Gateway", gw("port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']"), ""},
		{"Gateway", gw("port: {number: 80, name: http, protocol: GRPC-WEB}, hosts: ['*'], tls: {httpsRedirect: true}"), ""},
		{"Gateway", "spec: {servers: []}", "spec.servers: empty"},
		{"Gateway", gw("hosts: ['*']"), "spec.servers[0].port: missing"},
		{"Gateway", gw("port: {number: 0, name: http, protocol: HTTP}, hosts: ['*']"), "spec.servers[0].port.number: no port"},
		{"Gateway", gw("port: {number: 80, name: http, protocol: HTPP}, hosts: ['*']"), "spec.servers[0].port.protocol: HTPP"},
		{"Gateway", gw("port: {number: 80, name: http, protocol: HTTP}"), "spec.servers[0].hosts: empty"},
		{"Gateway", gw("port: {number: 80, name: http, protocol: HTTP}, hosts: ['a/b/c']"), "spec.servers[0].hosts[0]: no host"},
		{"Gateway", gw("port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*']"), "spec.servers[0].tls: missing"},
		{"Gateway", gw("port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE}"), "spec.servers[0].tls: no certificate"},
		{"Gateway", gw("port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: MUTUAL, serverCertificate: a, privateKey: b}"), "spec.servers[0].tls.caCertificates: missing"},

		{"Sidecar", "spec: {egress: [{hosts: ['./*', 'istio-system/*', '~other/*', '~/a.b']}]}", ""},
		{"Sidecar", "spec: {egress: [{hosts: ['~/*']}]}", ""},
		{"Sidecar", "spec: {egress: [{hosts: ['./*', 'istio-system/*', '~/*', '~other/a.b']}]}", "W spec.egress[0].hosts: nothing is imported"},
		{"Sidecar", "spec: {egress: [{hosts: ['./a.b', 'c/*.d.e', '~./a.b', '~c/*.e']}]}", "W spec.egress[0].hosts: nothing is imported"},
		{"Sidecar", "spec: {egress: [{hosts: ['~a/b.c']}]}", "W spec.egress[0].hosts: nothing is imported"},
		{"Sidecar", "spec: {egress: [{hosts: [a]}]}", "spec.egress[0].hosts[0]: no namespace"},
		{"Sidecar", "spec: {egress: [{hosts: ['A B/c']}]}", "spec.egress[0].hosts[0]: namespace/name"},
		{"Sidecar", "spec: {egress: [{}]}", "spec.egress[0].hosts: empty"},
		{"Sidecar", "spec: {egress: [{hosts: ['*/*']}, {port: {number: 80, protocol: HTTP}, hosts: ['*/*']}]}", "spec.egress[0]: last"},
		{"Sidecar", "spec: {egress: [{bind: 1.2.3.4, hosts: ['*/*']}]}", "spec.egress[0].bind: port"},
		{"Sidecar", "spec: {ingress: [{port: {number: 80, protocol: HTTP}, defaultEndpoint: '10.0.0.1:80'}]}", "spec.ingress[0].defaultEndpoint: workload"},
		{"Sidecar", "spec: {ingress: [{port: {number: 80, protocol: HTTP}, defaultEndpoint: '127.0.0.1:+80'}]}", "spec.ingress[0].defaultEndpoint: workload"},
		{"Sidecar", "spec: {ingress: [{port: {number: 80, protocol: HTTP}, bind: '::1'}, {port: {number: 80, protocol: HTTP}, bind: '0::1'}]}", "spec.ingress[1]: same bind and port"},
		{"Sidecar", "spec: {ingress: [{defaultEndpoint: '127.0.0.1:80'}]}", "spec.ingress[0].port: missing"},

		{"PeerAuthentication", "spec: {mtls: {mode: STRICT}}", ""},
		{"PeerAuthentication", "spec: {portLevelMtls: {80: {mode: DISABLE}}}", "spec.portLevelMtls: selector"},
		{"PeerAuthentication", "spec: {selector: {matchLabels: {a: b}}, portLevelMtls: {70000: {mode: DISABLE}}}", "spec.portLevelMtls: no port"},

		{"Service", "spec: {ports: [{port: 80, targetPort: 99999}]}", "spec.ports[0].targetPort: no port"},
		{"Service", "spec: {ports: [{port: 80}, {port: 81, name: a}]}", "spec.ports[0].name: missing"},
		{"Service", "spec: {ports: [{port: 80, name: a}, {port: 80, name: b}]}", "spec.ports[1].port: twice"},
		{"Service", "spec: {ports: [{port: 80, name: a, protocol: UDP}, {port: 80, name: b}]}", ""},
		{"Service", "spec: {ports: [{port: 80, name: a}, {port: 81, name: a}]}", "spec.ports[1].name: another port"},
		{"Service", "spec: {clusterIP: x}", "spec.clusterIP: IP"},
		{"Service", "spec: {trafficDistribution: PreferFoo}", "W spec.trafficDistribution: prefers nothing"},
		{"Service", "spec: {trafficDistribution: PreferSameNode}", ""},
		{"Service", "spec: {type: ExternalName, externalName: a.b}", ""},
		{"Service", "spec: {type: ExternalName}", "spec.externalName: \"\" is no host"},
		{"Pod", "status: {podIP: x}", "status.podIP: IP"},
		{"Pod", "spec: {containers: [{name: a, ports: [{containerPort: 0}]}]}", "spec.containers[0].ports[0].containerPort: no port"},
		{"EndpointSlice", "addressType: IPv4\nendpoints: [{addresses: [x]}]", "endpoints[0].addresses[0]: IP"},
	}
	for _, tt := range tests {
		t.Run(tt.kind+" "+tt.body, func(t *testing.T) {
			checkRule(t, object(t, tt.kind, tt.body), tt.want)
		})
	}
}

// checkRule compares the problems of an object with what a case wants.
func checkRule(t *testing.T, o *model.Object, want string) {
	t.Helper()
	got := validate.Object(o)
	if want == "" {
		if len(got) != 0 {
			t.Errorf("problems: %v", got)
		}
		return
	}
	severity := model.SeverityError
	if rest, ok := strings.CutPrefix(want, "W "); ok {
		want, severity = rest, model.SeverityWarning
	}
	field, message, _ := strings.Cut(want, ": ")
	named := false
	for _, p := range got {
		if severity == model.SeverityWarning && p.Severity == model.SeverityError {
			t.Errorf("only a warning is wanted: %v", p)
		}
		if p.Object != o.Key || p.Origin != o.Origin {
			t.Errorf("does not name the object: %+v", p)
		}
		named = named || p.Field == field && p.Severity == severity && strings.Contains(p.Message, message)
	}
	if !named {
		t.Errorf("want %s, got %v", want, got)
	}
}

// TestIstiosRules gives the rules of Istio's webhook that are about meaning, one case each: what it
// refuses is refused, and what it takes is taken, where it has no effect with a warning.
func TestIstiosRules(t *testing.T) {
	vs := func(http string) string { return "spec: {hosts: [a.b], http: [" + http + "]}" }
	route := "route: [{destination: {host: b}}]"
	dr := func(policy string) string { return "spec: {host: a, trafficPolicy: {" + policy + "}}" }
	server := func(protocol, rest string) string {
		return "spec: {selector: {a: b}, servers: [{port: {number: 443, name: x, protocol: " + protocol + "}, hosts: ['*'], " + rest + "}]}"
	}
	https := func(tls string) string { return server("HTTPS", "tls: {"+tls+"}") }
	pair := "serverCertificate: /a, privateKey: /b"
	ingress := func(port, rest string) string {
		return "spec: {ingress: [{port: {number: 80, " + port + "}, defaultEndpoint: '127.0.0.1:80', " + rest + "}]}"
	}
	for _, tt := range []struct{ kind, body, want string }{
		// Taken.
		{"VirtualService", vs("{match: [{withoutHeaders: {x: {regex: '*'}}}], " + route + "}"), ""},
		{"VirtualService", vs("{match: [{headers: {x: {regex: '*'}}}], " + route + "}"), "spec.http[0].match[0].headers[x].regex: RE2"},
		{"VirtualService", "spec: {hosts: [a.b, 10.0.0.1], tls: [{match: [{sniHosts: [10.0.0.1]}], " + route + "}]}", ""},
		{"VirtualService", "spec: {hosts: [a.b], tcp: [{route: [{destination: {host: '*.b'}}]}]}", ""},
		{"VirtualService", vs("{match: [{headers: {'a b': {exact: c}}}], headers: {request: {set: {'a b': c}}}, " + route + "}"), "W spec.http[0].headers.request.set[a b]: left alone"},
		{"Gateway", https("mode: SIMPLE, httpsRedirect: true, " + pair), "W spec.servers[0].tls.httpsRedirect: no effect"},
		{"Sidecar", "spec: {egress: [{port: {number: 0, name: x, protocol: HTTP}, bind: 'unix:///tmp/x', hosts: ['*/*']}]}", ""},
		{"Sidecar", "spec: {egress: [{port: {number: 0, name: x, protocol: TCP}, bind: 'unix://@x', captureMode: NONE, hosts: ['*/*']}]}", ""},
		{"Sidecar", "spec: {egress: [{port: {number: 80, name: x, protocol: HTTP}, bind: 'unix:///tmp/x', hosts: ['*/*']}]}", "spec.egress[0].port.number: use 0"},
		{"Sidecar", "spec: {egress: [{port: {number: 0, name: x, protocol: HTTP}, bind: 'unix:///tmp/x', captureMode: IPTABLES, hosts: ['*/*']}]}", "spec.egress[0].captureMode: NONE"},
		{"Sidecar", "spec: {egress: [{port: {number: 0, name: x, protocol: HTTP}, bind: 'unix://tmp/x', hosts: ['*/*']}]}", "spec.egress[0].bind: no socket"},
		{"Sidecar", "spec: {egress: [{port: {number: 0, name: x, protocol: HTTP}, bind: 'unix:///tmp/', hosts: ['*/*']}]}", "spec.egress[0].bind: no socket"},
		{"Gateway", "spec: {selector: {a: b}, servers: [{port: {number: 0, name: x, protocol: HTTP}, bind: 'unix:///tmp/x', hosts: ['*']}]}", "W spec.servers[0].bind: Unix socket"},
		{"Gateway", "spec: {selector: {a: b}, servers: [{port: {number: 80, name: x, protocol: HTTP}, bind: 'unix:///tmp/x', hosts: ['*']}]}", "spec.servers[0].port.number: use 0"},
		{"Gateway", "spec: {selector: {a: b}, servers: [{port: {number: 80, name: x, protocol: HTTP}, bind: 'fe80::1%eth0', hosts: ['*']}]}", "spec.servers[0].bind: neither an IP"},
		{"Gateway", server("HTTP", "tls: {httpsRedirect: true}"), ""},
		{"Sidecar", ingress("name: x", ""), ""},

		// Refused: VirtualService.
		{"VirtualService", "spec: {hosts: ['*.b', a.b], http: [{" + route + "}]}", "spec.hosts[1]: overlaps"},
		{"VirtualService", "spec: {hosts: [a.b, '*.B'], http: [{" + route + "}]}", "spec.hosts[1]: overlaps"},
		{"VirtualService", vs("{timeout: 0s, " + route + "}"), "spec.http[0].timeout: too short"},
		{"VirtualService", vs("{timeout: 1.0005s, " + route + "}"), "spec.http[0].timeout: whole number of 1ms"},
		{"VirtualService", vs("{timeout: 2562047h, " + route + "}"), "spec.http[0].timeout: out of range"},
		{"VirtualService", vs("{timeout: 8761h, " + route + "}"), "spec.http[0].timeout: out of range"},
		{"VirtualService", vs("{fault: {delay: {fixedDelay: 100us, percentage: {value: 1}}}, " + route + "}"), "spec.http[0].fault.delay.fixedDelay: too short"},
		{"VirtualService", vs("{retries: {attempts: 0, retryRemoteLocalities: true}, " + route + "}"), "spec.http[0].retries.attempts: turns retries off"},
		{"VirtualService", vs("{rewrite: {uriRegexRewrite: {match: a}}, " + route + "}"), "spec.http[0].rewrite.uriRegexRewrite: set both"},
		{"VirtualService", vs("{match: [{uri: {exact: /a}}], redirect: {prefixRewrite: /b}}"), "spec.http[0].match[0].uri: no prefix"},
		{"VirtualService", vs("{match: [{uri: {regex: /a}}], redirect: {prefixRewrite: /b}}"), "spec.http[0].match[0].uri: no prefix"},
		{"VirtualService", vs("{match: [{uri: {prefix: /a}}], redirect: {prefixRewrite: /b}}"), ""},
		{"VirtualService", vs("{rewrite: {authority: a}, headers: {request: {set: {Host: b}}}, " + route + "}"), "spec.http[0].headers.request.set[Host]: keep one"},
		{"VirtualService", vs("{rewrite: {authority: a}, route: [{destination: {host: b}, headers: {request: {set: {':authority': b}}}}]}"), "W spec.http[0].route[0].headers.request.set[:authority]: keep one"},
		{"VirtualService", vs("{corsPolicy: {allowMethods: [get]}, " + route + "}"), "spec.http[0].corsPolicy.allowMethods[0]: no HTTP method"},
		{"VirtualService", vs("{corsPolicy: {allowMethods: [FETCH]}, " + route + "}"), "spec.http[0].corsPolicy.allowMethods[0]: no HTTP method"},
		{"VirtualService", vs("{match: [{headers: {'@request.auth.claims.a': {exact: b}, '@request.auth.claims[a.b][c]': {}}}], " + route + "}"), ""},
		{"VirtualService", vs("{match: [{withoutHeaders: {'@request.auth.claims[a': {exact: b}}}], " + route + "}"), "W spec.http[0].match[0].withoutHeaders[@request.auth.claims[a]: names no claim"},
		{"VirtualService", vs("{match: [{headers: {'@request.auth.claims': {exact: b}}}], " + route + "}"), "W spec.http[0].match[0].headers[@request.auth.claims]: names no claim"},
		{"VirtualService", vs("{match: [{headers: {'@request.auth.claims.a..b': {exact: b}}}], " + route + "}"), "W spec.http[0].match[0].headers[@request.auth.claims.a..b]: names no claim"},
		{"VirtualService", "spec: {hosts: [a.b], gateways: [g, mesh], http: [{match: [{headers: {'@request.auth.claims.a': {exact: b}}}], " + route + "}]}", ""},
		{"VirtualService", vs("{route: [{destination: {host: b}, weight: 2147483647}, {destination: {host: c}, weight: 2147483647}, {destination: {host: d}, weight: 2}]}"), "spec.http[0].route: add up"},
		{"VirtualService", vs("{match: [{uri: {regex: '[acegikmoqsuwy]{1000}[acegikmoqsuwy]{1000}[acegikmoqsuwy]{1000}'}}], " + route + "}"), "spec.http[0].match[0].uri.regex: repeats too much"},

		// Refused: DestinationRule.
		{"DestinationRule", dr("connectionPool: {}"), "spec.trafficPolicy.connectionPool: sets nothing"},
		{"DestinationRule", dr("connectionPool: {http: {http2KeepAlive: {interval: 1s}}}"), "spec.trafficPolicy.connectionPool.http.http2KeepAlive: set both"},
		{"DestinationRule", dr("connectionPool: {tcp: {connectTimeout: 9223372036s}}"), "spec.trafficPolicy.connectionPool.tcp.connectTimeout: out of range"},
		{"DestinationRule", dr("connectionPool: {tcp: {idleTimeout: 0s}}"), ""},
		{"DestinationRule", dr("connectionPool: {http: {idleTimeout: 0s}}"), "spec.trafficPolicy.connectionPool.http.idleTimeout: too short"},
		{"DestinationRule", dr("connectionPool: {tcp: {tcpKeepalive: {time: 9h6m8s}}}"), "spec.trafficPolicy.connectionPool.tcp.tcpKeepalive.time: out of range"},
		{"DestinationRule", dr("loadBalancer: {consistentHash: {httpCookie: {name: a, attributes: [{value: b}]}}}"), "spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.attributes[0].name: missing"},
		{"DestinationRule", dr("loadBalancer: {consistentHash: {httpCookie: {name: a, attributes: [{name: b}, {name: b}]}}}"), "spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.attributes[1].name: twice"},
		{"DestinationRule", dr("loadBalancer: {localityLbSetting: {}, zoneAwareLbSetting: {}}"), "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting: keep one"},
		{"DestinationRule", dr("loadBalancer: {zoneAwareLbSetting: {failoverPriority: [topology.kubernetes.io/zone]}}"), "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.failoverPriority[0]: ordered anyway"},
		{"DestinationRule", dr("loadBalancer: {zoneAwareLbSetting: {failoverPriority: [version]}}"), ""},
		{"DestinationRule", dr("loadBalancer: {zoneAwareLbSetting: {minClusterSize: 0}}"), "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.minClusterSize: at least 1"},
		{"DestinationRule", dr("loadBalancer: {warmup: {duration: 1s}, warmupDurationSecs: 1s}"), "spec.trafficPolicy.loadBalancer.warmup: keep warmup"},
		{"DestinationRule", dr("outlierDetection: {consecutiveLocalOriginFailures: 1}"), "spec.trafficPolicy.outlierDetection.consecutiveLocalOriginFailures: splitExternalLocalOriginErrors"},
		{"DestinationRule", dr("tls: {mode: SIMPLE, insecureSkipVerify: true, caCertificates: /a}"), "spec.trafficPolicy.tls.insecureSkipVerify: keep one"},
		{"DestinationRule", dr("tls: {mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]}"), "spec.trafficPolicy.tls.insecureSkipVerify: keep one"},
		{"DestinationRule", dr(`tls: {mode: SIMPLE, sni: "a\0b"}`), "spec.trafficPolicy.tls.sni: control character"},
		{"DestinationRule", dr("tls: {mode: SIMPLE, sni: " + strings.Repeat("a", 256) + "}"), "spec.trafficPolicy.tls.sni: at most 255"},

		// Refused: TLS of Gateway servers.
		{"Gateway", server("HTTP", "tls: {mode: SIMPLE, "+pair+"}"), "spec.servers[0].tls: not possible"},
		{"Gateway", server("HTTP", "tls: {"+pair+"}"), "spec.servers[0].tls: not possible"},
		{"Gateway", server("TCP", "tls: {mode: SIMPLE, "+pair+"}"), "spec.servers[0].tls: only possible"},
		{"Gateway", https("mode: SIMPLE, serverCertificate: /a"), "spec.servers[0].tls: set both"},
		{"Gateway", https("mode: SIMPLE, privateKey: /a"), "spec.servers[0].tls: set both"},
		{"Gateway", https("mode: SIMPLE, credentialName: a, " + pair), "W spec.servers[0].tls: by credentialName, which counts"},
		{"Gateway", https("mode: MUTUAL, credentialName: a, serverCertificate: /a, caCertificates: /b"), "W spec.servers[0].tls: by credentialName, which counts"},
		{"Gateway", https("mode: SIMPLE, credentialName: a, credentialNames: [b]"), "spec.servers[0].tls: keep one"},
		{"Gateway", https("mode: SIMPLE, credentialNames: [a], tlsCertificates: [{" + pair + "}]"), "spec.servers[0].tls: keep one"},
		{"Gateway", https("mode: SIMPLE, credentialNames: [a, b, c]"), "spec.servers[0].tls.credentialNames: at most 2"},
		{"Gateway", https("mode: SIMPLE, tlsCertificates: [{" + pair + "}, {" + pair + "}, {" + pair + "}]"), "spec.servers[0].tls.tlsCertificates: at most 2"},
		{"Gateway", https("mode: SIMPLE, tlsCertificates: [{serverCertificate: /a}]"), "spec.servers[0].tls.tlsCertificates[0]: set both"},
		{"Gateway", https("mode: OPTIONAL_MUTUAL, " + pair), "spec.servers[0].tls.caCertificates: missing"},
		{"Gateway", https("mode: ISTIO_MUTUAL, serverCertificate: /a"), "spec.servers[0].tls: mesh's own"},
		{"Gateway", https("mode: ISTIO_MUTUAL, caCertificates: /a"), "spec.servers[0].tls: mesh's own"},
		{"Gateway", https("mode: ISTIO_MUTUAL, credentialName: a"), "spec.servers[0].tls: mesh's own"},
		{"Gateway", https("mode: SIMPLE, caCrl: /a, " + pair), "spec.servers[0].tls.caCrl: caCertificates"},
		{"Gateway", https("mode: PASSTHROUGH, " + pair), "W spec.servers[0].tls: no certificate is presented"},
		{"Gateway", https("mode: MUTUAL, credentialName: a, verifyCertificateSpki: [abc]"), "spec.servers[0].tls.verifyCertificateSpki[0]: SHA-256"},
		{"Gateway", https("mode: MUTUAL, credentialName: a, verifyCertificateSpki: [2IEpPESU/mmC30tPsnOfbGKdwKdQfN/wZw1QWpjGlmk=]"), ""},
		{"Gateway", https("mode: MUTUAL, credentialName: a, verifyCertificateHash: [" + strings.Repeat("ab", 31) + "]"), "spec.servers[0].tls.verifyCertificateHash[0]: SHA-256"},
		{"Gateway", https("mode: ISTIO_MUTUAL, verifyCertificateHash: [x]"), "spec.servers[0].tls.verifyCertificateHash[0]: SHA-256"},
		{"Gateway", https("mode: MUTUAL, credentialName: a, verifyCertificateHash: ['00" + strings.Repeat(":00", 31) + "']"), ""},
		{"Gateway", https("mode: SIMPLE, credentialName: a, subjectAltNames: [a]"), "W spec.servers[0].tls.subjectAltNames: no effect"},
		{"Gateway", https("mode: SIMPLE, credentialName: a, cipherSuites: [DES-CBC3-SHA]"), "W spec.servers[0].tls.cipherSuites[0]: left out"},
		{"Gateway", https("mode: SIMPLE, credentialName: a, minProtocolVersion: TLSV1_3, maxProtocolVersion: TLSV1_2"), "spec.servers[0].tls.minProtocolVersion: above"},
		{"Gateway", "spec: {selector: {a: b}, servers: [{port: {number: 80, name: x, protocol: HTTP}, hosts: [short]}]}", "spec.servers[0].hosts[0]: short name"},
		{"Gateway", "spec: {selector: {a: b}, servers: [{port: {number: 80, name: x}, hosts: ['*']}]}", "spec.servers[0].port.protocol: missing"},

		// Refused: Sidecar.
		{"Sidecar", "spec: {}", "spec: says nothing"},
		{"Sidecar", "spec: {egress: [{hosts: ['./short']}]}", "spec.egress[0].hosts[0]: short name"},
		{"Sidecar", ingress("protocol: HTTP", "tls: {mode: SIMPLE, "+pair+"}"), "spec.ingress[0].tls: only possible"},
		{"Sidecar", ingress("protocol: HTTPS", "tls: {mode: ISTIO_MUTUAL}"), "spec.ingress[0].tls.mode: not possible"},
		{"Sidecar", ingress("protocol: HTTPS", "tls: {mode: PASSTHROUGH}"), "spec.ingress[0].tls.mode: not possible"},
		{"Sidecar", ingress("protocol: HTTPS", "tls: {mode: SIMPLE, httpsRedirect: true, "+pair+"}"), "spec.ingress[0].tls.httpsRedirect: not possible"},
		{"Sidecar", ingress("protocol: HTTPS", "tls: {mode: SIMPLE, credentialName: a}"), "spec.ingress[0].tls.credentialName: not possible"},
		{"Sidecar", ingress("protocol: HTTPS", "tls: {mode: SIMPLE, serverCertificate: /a}"), "spec.ingress[0].tls: set both"},
		{"Sidecar", ingress("protocol: HTTPS", "tls: {mode: MUTUAL, "+pair+"}"), "spec.ingress[0].tls.caCertificates: missing"},
		{"Sidecar", ingress("protocol: HTTPS", "tls: {mode: SIMPLE}"), "spec.ingress[0].tls: no certificate"},
		{"Sidecar", "spec: {inboundConnectionPool: {}}", "spec.inboundConnectionPool: sets nothing"},
	} {
		t.Run(tt.kind+" "+tt.body, func(t *testing.T) { checkRule(t, object(t, tt.kind, tt.body), tt.want) })
	}
}

// A text that no label can be is told where endpoints are ordered by labels; it harms nothing else.
func TestFailoverLabels(t *testing.T) {
	for _, setting := range []string{"localityLbSetting", "zoneAwareLbSetting"} {
		for label, want := range map[string]int{"a=b=c": 1, "x y": 1, "ключ": 1, "app": 0, "example.com/app=v1": 0, "app=": 0} {
			problems := validate.Object(object(t, "DestinationRule", "spec: {host: a, trafficPolicy: {outlierDetection: {}, loadBalancer: {"+setting+": {failoverPriority: ["+label+"]}}}}"))
			if len(problems) != want || want == 1 && (problems[0].Severity != model.SeverityWarning || !strings.HasSuffix(problems[0].Field, setting+".failoverPriority[0]")) {
				t.Errorf("%s %q: %v", setting, label, problems)
			}
		}
	}
}

// TestMeshRules is the same for mesh configurations.
func TestMeshRules(t *testing.T) {
	for body, want := range map[string]string{
		"discoverySelectors: [{matchLabels: {a: b}}, {}]":                       "",
		"discoverySelectors: [{matchLabels: {a: ' '}}]":                         "W discoverySelectors[0]: the former selectors count",
		"discoverySelectors: [{}, {matchExpressions: [{key: a, operator: X}]}]": "W discoverySelectors[1]: no selector",
		"connectTimeout: 30s":                                                           "",
		"connectTimeout: 9223372036s":                                                   "connectTimeout: out of range",
		"connectTimeout: 0s":                                                            "connectTimeout: too short",
		"protocolDetectionTimeout: 0s":                                                  "",
		"protocolDetectionTimeout: 9223372036s":                                         "protocolDetectionTimeout: out of range",
		"defaultHttpRetryPolicy: {attempts: 1, perTryTimeout: 9223372036s}":             "defaultHttpRetryPolicy.perTryTimeout: out of range",
		"defaultHttpRetryPolicy: {attempts: 1, backoff: 9223372036s}":                   "defaultHttpRetryPolicy.backoff: out of range",
		"tcpKeepalive: {time: 9h6m8s}":                                                  "tcpKeepalive.time: out of range",
		"tcpKeepalive: {probes: 128}":                                                   "tcpKeepalive.probes: out of range",
		"defaultTrafficPolicy: {connectionPool: {}}":                                    "defaultTrafficPolicy.connectionPool: sets nothing",
		"defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: -1}}}":           "defaultTrafficPolicy.connectionPool.tcp.maxConnections: negative",
		"defaultTrafficPolicy: {outlierDetection: {maxEjectionPercent: 101}}":           "defaultTrafficPolicy.outlierDetection.maxEjectionPercent: percentage",
		"defaultTrafficPolicy: {outlierDetection: {consecutiveLocalOriginFailures: 1}}": "defaultTrafficPolicy.outlierDetection.consecutiveLocalOriginFailures: splitExternalLocalOriginErrors",
		"proxyListenPort: 0":                                                            "proxyListenPort: no port",
		"proxyHttpPort: 70000":                                                          "proxyHttpPort: no port",
		"proxyHttpPort: 15001":                                                          "proxyListenPort: the port of the field proxyHttpPort",
		"proxyHttpPort: 15006":                                                          "proxyInboundListenPort: the port of the field proxyHttpPort",
		"proxyHttpPort: 15008":                                                          "proxyHttpPort: a port of the proxy",
		"proxyHttpPort: 15021":                                                          "proxyHttpPort: the port of",
		"proxyHttpPort: 15090":                                                          "proxyHttpPort: the port of",
		"{proxyHttpPort: 15001, proxyListenPort: 16001}":                                "proxyHttpPort: a port of the proxy",
		"defaultConfig: {proxyMetadata: {ISTIO_META_HTTP_PROXY_PORT: '15020'}}":         "W defaultConfig.proxyMetadata.ISTIO_META_HTTP_PROXY_PORT: a port of the proxy",
		"defaultConfig: {proxyMetadata: {ISTIO_META_HTTP_PROXY_PORT: '65536'}}":         "W defaultConfig.proxyMetadata.ISTIO_META_HTTP_PROXY_PORT: no port",
		"defaultConfig: {proxyMetadata: {ISTIO_META_HTTP_PROXY_PORT: '15002'}}":         "",
		"defaultConfig: {proxyMetadata: {ISTIO_META_HTTP_PROXY_PORT: '0'}}":             "",
		"defaultConfig: {proxyMetadata: {ISTIO_META_HTTP_PROXY_PORT: ''}}":              "",
		"proxyHttpPort: 15020":                                                          "proxyHttpPort: the port of",
		"proxyListenPort: 15006":                                                        "proxyListenPort: the port of",
		"proxyInboundListenPort: 15021":                                                 "proxyInboundListenPort: health",
		"caCertificates: [{spiffeBundleUrl: 'http://far/bundle'}]":                      "W caCertificates[0].spiffeBundleUrl: not an https URL",
		"caCertificates: [" + strings.Repeat("{spiffeBundleUrl: 'https://far/bundle', trustDomains: [a, b]}, ", 8) + "]": "W caCertificates[7]: longer than",
		"caCertificates: [{spiffeBundleUrl: ''}]":                                  "W caCertificates[0].spiffeBundleUrl: not an https URL",
		"caCertificates: [{trustDomains: ['*']}]":                                  "W caCertificates[0].trustDomains[0]: no domain",
		"caCertificates: [{pem: x}]":                                               "W caCertificates[0].pem: the entry has no roots",
		"defaultServiceExportTo: [a, 'b c']":                                       "W defaultServiceExportTo[1]: no namespace",
		"defaultVirtualServiceExportTo: ['b c']":                                   "W defaultVirtualServiceExportTo[0]: no namespace",
		"defaultDestinationRuleExportTo: ['b c']":                                  "W defaultDestinationRuleExportTo[0]: no namespace",
		"trustDomainAliases: [a b]":                                                "trustDomainAliases[0]: no domain",
		`accessLogFile: "/a\0b"`:                                                   "accessLogFile: control character",
		"defaultConfig: {proxyAdminPort: 65536}":                                   "defaultConfig.proxyAdminPort: no port",
		"defaultConfig: {proxyAdminPort: 15020}":                                   "defaultConfig.statusPort: the port of",
		"defaultConfig: {discoveryAddress: a}":                                     "defaultConfig.discoveryAddress: host:port",
		"defaultConfig: {statsdUdpAddress: 'a:0'}":                                 "defaultConfig.statsdUdpAddress: host:port",
		"defaultConfig: {tracing: {zipkin: {address: 'a b:1'}}}":                   "defaultConfig.tracing.zipkin.address: host:port",
		"defaultConfig: {tracing: {datadog: {address: '$(HOST_IP):8126'}}}":        "",
		"defaultConfig: {binaryPath: ''}":                                          "defaultConfig.binaryPath: missing",
		"defaultConfig: {serviceCluster: ''}":                                      "defaultConfig.serviceCluster: missing",
		"defaultConfig: {statusPort: 65536}":                                       "defaultConfig.statusPort: no port",
		"defaultConfig: {concurrency: -1}":                                         "defaultConfig.concurrency: negative",
		"defaultConfig: {concurrency: 2000000000}":                                 "defaultConfig.concurrency: out of range",
		"defaultConfig: {drainDuration: 0s}":                                       "defaultConfig.drainDuration: too short",
		"defaultConfig: {drainDuration: 2h}":                                       "",
		"defaultConfig: {drainDuration: 10000h}":                                   "defaultConfig.drainDuration: out of range",
		"defaultConfig: {drainDuration: 1500ms}":                                   "defaultConfig.drainDuration: whole number of 1s",
		"defaultConfig: {tracing: {sampling: 101}}":                                "defaultConfig.tracing.sampling: percentage",
		"defaultConfig: {tracing: {tlsSettings: {mode: SIMPLE, caCrl: /a}}}":       "",
		"defaultConfig: {tracing: {tlsSettings: {mode: ISTIO_MUTUAL, caCrl: /a}}}": "W defaultConfig.tracing.tlsSettings.caCrl: ISTIO_MUTUAL",
		"defaultConfig: {envoyMetricsService: {tlsSettings: {mode: SIMPLE, insecureSkipVerify: true, caCrl: /a}}}":                                         "W defaultConfig.envoyMetricsService.tlsSettings.caCrl: insecureSkipVerify",
		"extensionProviders: [{name: a, envoyHttpAls: {port: 80}}]":                                                                                        "W extensionProviders[0].envoyHttpAls.service: no service",
		"extensionProviders: [{name: a, envoyTcpAls: {service: a.b}}]":                                                                                     "W extensionProviders[0].envoyTcpAls.port: no port",
		"extensionProviders: [{name: a, envoyOtelAls: {service: /a, port: 80}}]":                                                                           "W extensionProviders[0].envoyOtelAls.service: no service",
		"extensionProviders: [{name: a, datadog: {service: a.b, port: 65536}}]":                                                                            "W extensionProviders[0].datadog.port: no port",
		"extensionProviders: [{name: a, envoyExtAuthzHttp: {service: a.b, port: 65536}}]":                                                                  "W extensionProviders[0].envoyExtAuthzHttp.port: the provider is not used",
		"extensionProviders: [{name: a, datadog: {service: a}}]":                                                                                           "W extensionProviders[0].datadog.port: no port",
		"extensionProviders: [{name: a, skywalking: {service: '*.a', port: 80}}]":                                                                          "W extensionProviders[0].skywalking.service: no service",
		"extensionProviders: [{name: a, zipkin: {service: a, port: 80, timeout: -1s}}]":                                                                    "W extensionProviders[0].zipkin.timeout: the provider is not used",
		"extensionProviders: [{name: a, zipkin: {service: a, port: 80, traceContextOption: 7}}]":                                                           "W extensionProviders[0].zipkin.traceContextOption: stands for nothing",
		"extensionProviders: [{name: a, opentelemetry: {service: a, port: 80, http: {path: /, headers: [{name: a, value: \"b\\nc\"}]}}}]":                  "W extensionProviders[0].opentelemetry.http.headers[0].value: control character",
		"extensionProviders: [{name: a, envoyFileAccessLog: {logFormat: {text: \"a\\nb\"}}}]":                                                              "",
		"extensionProviders: [{name: a, envoyOtelAls: {service: a, port: 80, logFormat: {text: " + strings.Repeat("a", 70000) + "}}}]":                     "W extensionProviders[0].envoyOtelAls.logFormat.text: at most",
		"extensionProviders: [{name: a, opentelemetry: {service: a, port: 80, http: {path: /}, dynatraceSampler: {tenant: t, clusterId: -7}}}]":            "",
		"extensionProviders: [{name: a, envoyFileAccessLog: {}}]":                                                                                          "",
		"serviceEntryVisibility: {defaultVisibility: NONE}":                                                                                                "W serviceEntryVisibility.applyToSidecars: ambient",
		"serviceEntryVisibility: {applyToSidecars: true, policies: [{visibility: NONE}, {visibility: PUBLIC}]}":                                            "W serviceEntryVisibility.policies[0].matchingRules: every namespace",
		"serviceEntryVisibility: {applyToSidecars: true, policies: [{visibility: NONE}]}":                                                                  "",
		"serviceEntryVisibility: {applyToSidecars: true, policies: [{matchingRules: [{}]}]}":                                                               "W serviceEntryVisibility.policies[0].matchingRules[0]: matches nothing",
		"serviceEntryVisibility: {applyToSidecars: true, policies: [{matchingRules: [{namespaceSelector: {matchExpressions: [{key: a, operator: b}]}}]}]}": "W serviceEntryVisibility.policies[0].matchingRules[0].namespaceSelector: no selector",
		"defaultConfig: {proxyMetadata: {ISTIO_META_ENABLE_SELF_DISCOVERY: 'true'}}":                                                                       "W defaultConfig.proxyMetadata.ISTIO_META_ENABLE_SELF_DISCOVERY: all zones",
		"defaultConfig: {controlPlaneAuthPolicy: NONE}":                                                                                                    "W defaultConfig.controlPlaneAuthPolicy: reaches no pod",
		"defaultConfig: {controlPlaneAuthPolicy: MUTUAL_TLS}":                                                                                              "",
		"serviceSettings: [{settings: {clusterLocal: true}, hosts: ['*', '*.a.svc.cluster.local', b.a.svc.cluster.local]}]":                                "",
		"serviceSettings: [{hosts: [a]}]":                                                                                                                  "W serviceSettings[0].hosts[0]: short",
		"serviceSettings: [{hosts: ['a/b.c']}]":                                                                                                            "serviceSettings[0].hosts[0]: no hostname",
		"serviceSettings: [{settings: {clusterLocal: true}}]":                                                                                              "W serviceSettings[0].hosts: no service",
		"defaultConfig: {proxyHeaders: {server: {value: \"a\\tb\"}}}":                                                                                      "defaultConfig.proxyHeaders.server.value: no header has",
		"defaultConfig: {proxyHeaders: {server: {value: \"a\\u200bb\"}}}":                                                                                  "defaultConfig.proxyHeaders.server.value: no header has",
		"defaultConfig: {proxyHeaders: {server: {value: \"a\\u0001b\"}}}":                                                                                  "defaultConfig.proxyHeaders.server.value: control character",
		"defaultConfig: {proxyHeaders: {server: {value: \"a b/1.0 (\\u00e9)\"}}}":                                                                          "",
		"zoneAwareLbSetting: {failover: [{from: a, to: a}]}":                                                                                               "zoneAwareLbSetting.failover[0]: itself",
		"extensionProviders: [{envoyExtAuthzGrpc: {service: a.b, port: 1}}]":                                                                               "W extensionProviders[0].name: nothing can name",
		"extensionProviders: [{name: a, prometheus: {}}, {name: a, prometheus: {}}]":                                                                       "W extensionProviders[0].name: a later provider",
		"extensionProviders: [{name: a, envoyExtAuthzGrpc: {service: a.b, port: 0}}]":                                                                      "W extensionProviders[0].envoyExtAuthzGrpc.port: the provider is not used",
		"defaultHttpRetryPolicy: {attempts: 2, retryOn: '5xx,'}":                                                                                           "W defaultHttpRetryPolicy.retryOn: empty condition",
		"defaultHttpRetryPolicy: {attempts: 2, retryOn: foo}":                                                                                              "W defaultHttpRetryPolicy.retryOn: no condition",
		"defaultHttpRetryPolicy: {retryOn: 5xx}":                                                                                                           "W defaultHttpRetryPolicy.attempts: turns retries off",
		"connectTimeout: 1h":                                                                                                                               "",
		"connectTimeout: 3601s":                                                                                                                            "connectTimeout: out of range",
		"localityLbSetting: {distribute: [{from: a/*, to: {a: 100}}], failover: [{from: a, to: b}]}":                                                       "localityLbSetting: together with failover",
		"localityLbSetting: {failover: [{from: a, to: b}], failoverPriority: [x, topology.kubernetes.io/zone]}":                                            "localityLbSetting.failoverPriority[1]: a place",
		"localityLbSetting: {failover: [{from: a, to: b}], failoverPriority: [x, topology.kubernetes.io/zone=z]}":                                          "",
		"localityLbSetting: {distribute: [{from: a/*, to: {a: 100}}], failoverPriority: [x]}":                                                              "W localityLbSetting.failoverPriority: beside distribute",
		"localityLbSetting: {distribute: [{from: a/b/*, to: {a: 100}}, {from: a/*, to: {a: 100}}]}":                                                        "",
		"localityLbSetting: {distribute: [{from: a/*, to: {a: 100}}, {from: a/b, to: {a: 100}}]}":                                                          "localityLbSetting.distribute[1].from: by \"a/*\"",
		"localityLbSetting: {distribute: [{from: a, to: {a: 100}}, {from: a, to: {a: 100}}]}":                                                              "localityLbSetting.distribute[1].from: distributed already",
		"localityLbSetting: {distribute: [{from: a, to: {'a/*': 80, a/b: 20}}]}":                                                                           "localityLbSetting.distribute[0].to[a/b]: within \"a/*\"",
		"localityLbSetting: {enabled: true, distribute: [{from: a}]}":                                                                                      "localityLbSetting.distribute[0].to: 0",
	} {
		t.Run(body, func(t *testing.T) {
			mesh, err := model.ParseMeshConfig([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			key := model.Key{Kind: model.KindMeshConfig, Namespace: model.RootNamespace, Name: model.MeshConfigName}
			checkRule(t, &model.Object{Key: key, Spec: mesh}, want)
		})
	}
}

func TestNamesThatWouldBreakResourceNames(t *testing.T) {
	o := object(t, "Service", "spec: {}")
	o.Name, o.Namespace = "a|b", "n/s"
	got := validate.Object(o)
	if len(got) != 2 || got[0].Field != "metadata.name" || got[1].Field != "metadata.namespace" {
		t.Errorf("got %v", got)
	}
}

func FuzzObject(f *testing.F) {
	f.Add("VirtualService", `{"hosts":["a"],"http":[{"match":[{"uri":{"regex":"("}}],"route":[{"destination":{"host":"b"},"weight":1}]}]}`)
	f.Add("VirtualService", `{"http":[null,{"rewrite":{"uriRegexRewrite":{"match":"(a)","rewrite":"\\1"}}}],"tls":[{}],"tcp":[{}]}`)
	f.Add("DestinationRule", `{"host":"a","trafficPolicy":{"loadBalancer":{"consistentHash":{"maglev":{"tableSize":7}}}},"subsets":[{}]}`)
	f.Add("Gateway", `{"servers":[{},{"port":{}}]}`)
	f.Add("Sidecar", `{"egress":[{}],"ingress":[{}]}`)
	f.Add("PeerAuthentication", `{"portLevelMtls":{"1":{}}}`)
	f.Add("AuthorizationPolicy", `{"action":"DENY","rules":[{"from":[{}],"to":[{"operation":{"paths":["/{*}","{**"]}}],"when":[{"key":"request.auth.claims[","values":[""]}]}]}`)
	f.Add("Service", `{"ports":[{"port":80}]}`)
	f.Fuzz(func(t *testing.T, kind, spec string) {
		api := "networking.istio.io/v1"
		switch kind {
		case "PeerAuthentication", "AuthorizationPolicy", "RequestAuthentication":
			api = "security.istio.io/v1"
		case "Service", "Pod":
			api = "v1"
		}
		text := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: x}\nspec: %s\n", api, kind, spec)
		objects, _ := file.Decode([]byte(text), "x.yaml")
		for _, o := range objects {
			for _, p := range validate.Object(o) {
				if p.Message == "" || p.Field == "" || p.Object != o.Key {
					t.Errorf("problem without what, where or why: %+v", p)
				}
			}
		}
	})
}
