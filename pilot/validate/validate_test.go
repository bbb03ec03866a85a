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
	}[kind]
	if api == "" {
		api = "networking.istio.io/v1"
	}
	text := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: x, namespace: apps}\n%s\n", api, kind, body)
	objects, problems := file.Decode([]byte(text), "x.yaml")
	if len(objects) != 1 || len(problems) != 0 {
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
	tests := []struct{ kind, body, want string }{
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
		{"VirtualService", vs("{delegate: {name: n}, match: [{uri: {regex: a}}]}"), "spec.http[0].match[0].uri.regex: delegate"},
		{"VirtualService", vs("{" + route + "}, {" + route + "}"), "W spec.http[1]: never reached"},
		{"VirtualService", vs("{route: [{destination: {host: b}, weight: -1}]}"), "spec.http[0].route[0].weight: negative"},
		{"VirtualService", vs("{route: [{destination: {host: b}}, {destination: {host: c}}]}"), "spec.http[0].route: weight 0"},
		{"VirtualService", vs("{route: [{weight: 1}]}"), "spec.http[0].route[0].destination: missing"},
		{"VirtualService", vs("{route: [{destination: {host: '*.b'}}]}"), "spec.http[0].route[0].destination.host: no hostname"},
		{"VirtualService", vs("{route: [{destination: {host: b, port: {number: 70000}}}]}"), "spec.http[0].route[0].destination.port.number: no port"},
		{"VirtualService", vs("{route: [{destination: {host: b, subset: 'a|b'}}]}"), "spec.http[0].route[0].destination.subset: no name"},
		{"VirtualService", vs("{match: [{uri: {regex: '('}}], " + route + "}"), "spec.http[0].match[0].uri.regex: RE2"},
		{"VirtualService", vs("{match: [{headers: {a: {regex: ''}}}], " + route + "}"), "spec.http[0].match[0].headers[a].regex: empty"},
		{"VirtualService", vs("{match: [{headers: {'a b': {exact: c}}}], " + route + "}"), "spec.http[0].match[0].headers[a b]: no name"},
		{"VirtualService", vs("{match: [{headers: {uri: {exact: c}}}], " + route + "}"), "W spec.http[0].match[0].headers[uri]: match.uri"},
		{"VirtualService", vs("{timeout: -1s, " + route + "}"), "spec.http[0].timeout: out of range"},
		{"VirtualService", vs("{retries: {attempts: -1}, " + route + "}"), "spec.http[0].retries.attempts: negative"},
		{"VirtualService", vs("{retries: {attempts: 0, retryOn: 5xx}, " + route + "}"), "spec.http[0].retries.attempts: turns retries off"},
		{"VirtualService", vs("{retries: {attempts: 1, retryOn: '5xx,foo'}, " + route + "}"), "spec.http[0].retries.retryOn: foo"},
		{"VirtualService", vs("{retries: {attempts: 1, retryOn: '5xx,503'}, " + route + "}"), ""},
		{"VirtualService", vs("{retries: {attempts: 1, perTryTimeout: 0.0001s}, " + route + "}"), "spec.http[0].retries.perTryTimeout: too short"},
		{"VirtualService", vs("{fault: {}, " + route + "}"), "spec.http[0].fault: does nothing"},
		{"VirtualService", vs("{fault: {abort: {httpStatus: 99, percentage: {value: 10}}}, " + route + "}"), "spec.http[0].fault.abort.httpStatus: status"},
		{"VirtualService", vs("{fault: {abort: {grpcStatus: NOPE}}, " + route + "}"), "spec.http[0].fault.abort.grpcStatus: gRPC"},
		{"VirtualService", vs("{fault: {delay: {fixedDelay: 1s, percentage: {value: 101}}}, " + route + "}"), "spec.http[0].fault.delay.percentage.value: percentage"},
		{"VirtualService", vs("{fault: {delay: {percentage: {value: 1}}}, " + route + "}"), "spec.http[0].fault.delay.fixedDelay: missing"},
		{"VirtualService", vs("{redirect: {redirectCode: 200, uri: /}}"), "spec.http[0].redirect.redirectCode: status"},
		{"VirtualService", vs("{redirect: {uri: /}, fault: {abort: {httpStatus: 500}}}"), "spec.http[0].fault: redirect"},
		{"VirtualService", vs("{directResponse: {status: 42}}"), "spec.http[0].directResponse.status: status"},
		{"VirtualService", vs("{rewrite: {}, " + route + "}"), "spec.http[0].rewrite: rewrites nothing"},
		{"VirtualService", vs(`{rewrite: {uriRegexRewrite: {match: '(a)', rewrite: '\2'}}, ` + route + "}"), "spec.http[0].rewrite.uriRegexRewrite.rewrite: group 2"},
		{"VirtualService", vs("{headers: {request: {add: {':authority': b}}}, " + route + "}"), "spec.http[0].headers.request.add[:authority]: cannot be changed"},
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
		{"DestinationRule", dr("tls: {mode: ISTIO_MUTUAL, credentialName: x}"), "spec.trafficPolicy.tls: ISTIO_MUTUAL"},
		{"DestinationRule", dr("loadBalancer: {consistentHash: {}}"), "spec.trafficPolicy.loadBalancer.consistentHash: nothing to hash"},
		{"DestinationRule", dr("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 4}}}"), "spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize: prime"},
		{"DestinationRule", dr("loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 50}}]}}"), "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to: 50"},
		{"DestinationRule", dr("loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}"), "spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0]: itself"},
		{"DestinationRule", dr("outlierDetection: {maxEjectionPercent: 101}"), "spec.trafficPolicy.outlierDetection.maxEjectionPercent: percentage"},
		{"DestinationRule", dr("outlierDetection: {interval: 0s}"), "spec.trafficPolicy.outlierDetection.interval: too short"},
		{"DestinationRule", dr("connectionPool: {tcp: {maxConnections: -1}}"), "spec.trafficPolicy.connectionPool.tcp.maxConnections: negative"},
		{"DestinationRule", dr("connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}"), "spec.trafficPolicy.connectionPool.http.useClientProtocol: contradicts"},
		{"DestinationRule", dr("portLevelSettings: [{tls: {mode: SIMPLE}}]"), "spec.trafficPolicy.portLevelSettings[0].port: missing"},
		{"DestinationRule", dr("portLevelSettings: [{port: {number: 1}}, {port: {number: 1}}]"), "spec.trafficPolicy.portLevelSettings[1].port.number: already"},

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

		{"Sidecar", "spec: {egress: [{hosts: ['./*', 'istio-system/*', '~/*', '~other/a.b']}]}", ""},
		{"Sidecar", "spec: {egress: [{hosts: [a]}]}", "spec.egress[0].hosts[0]: no namespace"},
		{"Sidecar", "spec: {egress: [{hosts: ['A B/c']}]}", "spec.egress[0].hosts[0]: namespace/name"},
		{"Sidecar", "spec: {egress: [{}]}", "spec.egress[0].hosts: empty"},
		{"Sidecar", "spec: {egress: [{hosts: ['*/*']}, {port: {number: 80, protocol: HTTP}, hosts: ['*/*']}]}", "spec.egress[0]: last"},
		{"Sidecar", "spec: {egress: [{bind: 1.2.3.4, hosts: ['*/*']}]}", "spec.egress[0].bind: port"},
		{"Sidecar", "spec: {ingress: [{port: {number: 80, protocol: HTTP}, defaultEndpoint: '10.0.0.1:80'}]}", "spec.ingress[0].defaultEndpoint: workload"},
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
		{"Service", "spec: {type: ExternalName, externalName: a.b}", "W spec.type: ExternalName"},
		{"Pod", "status: {podIP: x}", "status.podIP: IP"},
		{"Pod", "spec: {containers: [{name: a, ports: [{containerPort: 0}]}]}", "spec.containers[0].ports[0].containerPort: no port"},
		{"EndpointSlice", "addressType: IPv4\nendpoints: [{addresses: [x]}]", "endpoints[0].addresses[0]: IP"},
	}
	for _, tt := range tests {
		t.Run(tt.kind+" "+tt.body, func(t *testing.T) {
			o := object(t, tt.kind, tt.body)
			got := validate.Object(o)
			if tt.want == "" {
				if len(got) != 0 {
					t.Errorf("problems: %v", got)
				}
				return
			}
			want, severity := tt.want, model.SeverityError
			if rest, ok := strings.CutPrefix(want, "W "); ok {
				want, severity = rest, model.SeverityWarning
			}
			field, message, _ := strings.Cut(want, ": ")
			for _, p := range got {
				if p.Field == field && p.Severity == severity && strings.Contains(p.Message, message) {
					if p.Object != o.Key || p.Origin != o.Origin {
						t.Errorf("does not name the object: %+v", p)
					}
					return
				}
			}
			t.Errorf("want %s, got %v", tt.want, got)
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
	f.Add("Service", `{"ports":[{"port":80}]}`)
	f.Fuzz(func(t *testing.T, kind, spec string) {
		api := "networking.istio.io/v1"
		switch kind {
		case "PeerAuthentication":
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
