package validate_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// TestEntryRules gives each rule of ServiceEntry, WorkloadEntry and WorkloadGroup a spec that breaks it,
// as TestRules does.
func TestEntryRules(t *testing.T) {
	long := strings.Repeat("a", 104)
	se := func(rest string) string {
		return "spec: {hosts: [a.example.com], ports: [{number: 80, name: http, protocol: HTTP}], " + rest + "}"
	}
	we := func(rest string) string { return "spec: {" + rest + "}" }
	probe := func(rest string) string { return "spec: {template: {}, probe: {" + rest + "}}" }
	for _, tt := range []struct{ kind, body, want string }{
		{"ServiceEntry", se("resolution: DNS"), ""},
		{"ServiceEntry", "spec: {ports: [{number: 80, name: http, protocol: HTTP}]}", "spec.hosts: missing"},
		{"ServiceEntry", "spec: {hosts: ['*']}", "spec.hosts[0]: every host"},
		{"ServiceEntry", "spec: {hosts: ['a b']}", "spec.hosts[0]: no hostname"},
		{"ServiceEntry", "spec: {hosts: ['*.example.com']}", ""},
		{"ServiceEntry", se("addresses: [10.0.0.1, 10.0.0.0/8, 'fd00::1']"), ""},
		{"ServiceEntry", se("addresses: [0.0.0.0/0]"), ""}, // HTTP goes by hosts
		{"ServiceEntry", "spec: {hosts: [a], addresses: [10.0.0.0/8, 0.0.0.0/0], ports: [{number: 80, name: a, protocol: TCP}]}", "W spec.addresses[1]: every address"},
		{"ServiceEntry", "spec: {hosts: [a], addresses: ['::/0'], ports: [{number: 80, name: a, protocol: HTTP}, {number: 81, name: b}]}", "W spec.addresses[0]: port 81"},
		{"ServiceEntry", "spec: {hosts: [a], addresses: ['::ffff:0:0/96'], ports: [{number: 80, name: a, protocol: TCP}]}", "W spec.addresses[0]: every address"},
		{"ServiceEntry", "spec: {hosts: [a], addresses: [0.0.0.0], ports: [{number: 80, name: a, protocol: TCP}]}", "W spec.addresses[0]: every address"},
		{"ServiceEntry", se("addresses: [10.0.0.256]"), "spec.addresses[0]: neither an IP"},
		{"ServiceEntry", se("addresses: [10.0.0.1/99]"), "spec.addresses[0]: neither an IP"},
		{"ServiceEntry", se("addresses: [10.0.0.0/8], resolution: DNS"), "spec.addresses[0]: NONE or STATIC"},
		{"ServiceEntry", "spec: {hosts: [a], ports: [{number: 80, name: a}, {number: 81, name: a}]}", "spec.ports[1].name: another port"},
		{"ServiceEntry", "spec: {hosts: [a], ports: [{number: 80, name: a}, {number: 80, name: b}]}", "spec.ports[1].number: another port"},
		{"ServiceEntry", "spec: {hosts: [a], ports: [{number: 80, name: a_b}]}", "spec.ports[0].name: no port name"},
		{"ServiceEntry", "spec: {hosts: [a], ports: [{number: 80}]}", "spec.ports[0].name: missing"},
		{"ServiceEntry", "spec: {hosts: [a], ports: [{number: 0, name: a}]}", "spec.ports[0].number: no port"},
		{"ServiceEntry", "spec: {hosts: [a], ports: [{number: 80, name: a, targetPort: 70000}]}", "spec.ports[0].targetPort: no port"},
		{"ServiceEntry", "spec: {hosts: [a], ports: [{number: 80, name: a, protocol: SPDY}]}", "spec.ports[0].protocol: no protocol"},
		{"ServiceEntry", "spec: {hosts: [a], ports: [{number: 80, name: a, protocol: UDP}]}", "W spec.ports[0].protocol: UDP"},
		{"ServiceEntry", se("resolution: STATIC, workloadSelector: {labels: {a: b}}"), ""},
		{"ServiceEntry", se("resolution: STATIC, workloadSelector: {labels: {a: '*'}}"), "spec.workloadSelector.labels[a]: no label value"},
		{"ServiceEntry", se("resolution: STATIC, workloadSelector: {}"), "W spec.workloadSelector: selects nothing"},
		{"ServiceEntry", se("resolution: STATIC, workloadSelector: {labels: {a: b}}, endpoints: [{address: 10.0.0.1}]"), "spec.endpoints: workloadSelector"},
		{"ServiceEntry", se("endpoints: [{address: 10.0.0.1}]"), "spec.endpoints: NONE"},
		{"ServiceEntry", se("resolution: STATIC, endpoints: [{address: b.example.com}]"), "spec.endpoints[0].address: STATIC needs"},
		{"ServiceEntry", se("resolution: STATIC, endpoints: [{address: 10.0.0.1, ports: {https: 443}}]"), "spec.endpoints[0].ports[https]: no port of the object"},
		{"ServiceEntry", se("resolution: STATIC, endpoints: [{address: 'unix:///a'}]"), ""},
		{"ServiceEntry", "spec: {hosts: [a], resolution: STATIC, ports: [{number: 80, name: a, protocol: HTTP}, {number: 81, name: b, protocol: HTTP}], endpoints: [{address: 'unix:///a'}]}", "spec.endpoints[0].address: exactly one port"},
		{"ServiceEntry", se("resolution: DNS, endpoints: [{address: 'unix:///a'}]"), "spec.endpoints[0].address: STATIC"},
		{"ServiceEntry", se("resolution: DNS, endpoints: [{address: 'b c'}]"), "spec.endpoints[0].address: neither"},
		{"ServiceEntry", "spec: {hosts: ['*.example.com'], resolution: DNS}", "spec.hosts[0]: cannot be resolved"},
		{"ServiceEntry", "spec: {hosts: ['*.example.com'], resolution: DNS, endpoints: [{address: a.example.com}]}", ""},
		{"ServiceEntry", se("resolution: DNS_ROUND_ROBIN, endpoints: [{address: b.c}, {address: d.e}]"), "spec.endpoints: one at most"},
		{"ServiceEntry", se("resolution: DYNAMIC_DNS"), "spec.hosts[0]: wildcards"},
		{"ServiceEntry", "spec: {hosts: ['*.a.b'], resolution: DYNAMIC_DNS, ports: [{number: 80, name: a, protocol: TCP}]}", "spec.ports[0].protocol: tells no host"},
		{"ServiceEntry", "spec: {hosts: ['*.a.b'], resolution: DYNAMIC_DNS, endpoints: [{address: a}]}", "W spec.endpoints: not read"},
		{"ServiceEntry", "spec: {hosts: [a, b], resolution: STATIC, ports: [{number: 80, name: a, protocol: TCP}]}", "W spec.ports[0].protocol: apart"},
		{"ServiceEntry", "spec: {hosts: [a, b], ports: [{number: 80, name: a, protocol: TCP}]}", ""},
		{"ServiceEntry", se("exportTo: [A_]"), "spec.exportTo[0]: no namespace"},
		{"ServiceEntry", se("exportTo: ['~']"), ""},
		{"ServiceEntry", "spec: {hosts: [" + strings.Repeat("a, ", 256) + "a]}", "spec.hosts: 257 items"},

		{"WorkloadEntry", we("address: 10.0.0.1"), ""},
		{"WorkloadEntry", we("address: vm.example.com, ports: {a: 1}, labels: {a: b}"), ""},
		{"WorkloadEntry", we("ports: {a: 1}"), "spec.address: missing"},
		{"WorkloadEntry", we("network: n"), ""},
		{"WorkloadEntry", we("address: 10.0.0.300"), "spec.address: neither"},
		{"WorkloadEntry", we("address: '*.example.com'"), "spec.address: neither"},
		{"WorkloadEntry", we("address: /a"), "spec.address: unix://"},
		{"WorkloadEntry", we("address: 'unix://a'"), "spec.address: absolute"},
		{"WorkloadEntry", we("address: 'unix://@a'"), ""},
		{"WorkloadEntry", we("address: 'unix:///a/'"), "spec.address: directory"},
		{"WorkloadEntry", we("address: 'unix:///" + long + "/bcd'"), "spec.address: limit"},
		{"WorkloadEntry", we("address: 'unix:///a', ports: {a: 1}"), "spec.ports: Unix"},
		{"WorkloadEntry", we("address: 10.0.0.1, ports: {a_b: 1}"), "spec.ports[a_b]: no port name"},
		{"WorkloadEntry", we("address: 10.0.0.1, ports: {a: 0}"), "spec.ports[a]: no port"},
		{"WorkloadEntry", we("address: 10.0.0.1, labels: {a: 'b c'}"), "spec.labels[a]: no label value"},
		{"WorkloadEntry", we("address: 10.0.0.1, serviceAccount: " + strings.Repeat("a", 254)), "spec.serviceAccount: 253"},

		{"WorkloadGroup", "spec: {template: {serviceAccount: a}}", ""},
		{"WorkloadGroup", "spec: {metadata: {labels: {a: b}}}", "spec.template: missing"},
		{"WorkloadGroup", "spec: {template: {ports: {a_b: 1}}}", "spec.template.ports[a_b]: no port name"},
		{"WorkloadGroup", "spec: {template: {address: 'unix:///a/'}}", "spec.template.address: directory"},
		{"WorkloadGroup", "spec: {template: {}, metadata: {labels: {a: 'b c'}}}", "spec.metadata.labels[a]: no label value"},
		{"WorkloadGroup", "spec: {template: {}, metadata: {annotations: {'a b': c}}}", "spec.metadata.annotations: no annotation name"},
		{"WorkloadGroup", probe("httpGet: {port: 80}, periodSeconds: 3"), ""},
		{"WorkloadGroup", probe("periodSeconds: 3"), "spec.probe: no method"},
		{"WorkloadGroup", probe("httpGet: {port: 80}, periodSeconds: -1"), "spec.probe.periodSeconds: negative"},
		{"WorkloadGroup", probe("httpGet: {}"), "spec.probe.httpGet.port: no port"},
		{"WorkloadGroup", probe("httpGet: {port: 80, scheme: FTP}"), "spec.probe.httpGet.scheme: no scheme"},
		{"WorkloadGroup", probe("httpGet: {port: 80, httpHeaders: [{name: 'a b'}]}"), "spec.probe.httpGet.httpHeaders[0].name: no header"},
		{"WorkloadGroup", probe("tcpSocket: {port: 70000}"), "spec.probe.tcpSocket.port: no port"},
		{"WorkloadGroup", probe("grpc: {}"), "spec.probe.grpc.port: no port"},
		{"WorkloadGroup", probe("exec: {}"), "spec.probe.exec.command: missing"},
		{"WorkloadGroup", probe("exec: {command: [a, '']}"), "spec.probe.exec.command[1]: missing"},
	} {
		var got []string
		for _, p := range validate.Object(object(t, tt.kind, tt.body)) {
			severity := ""
			if p.Severity == "Warning" {
				severity = "W "
			}
			got = append(got, severity+p.Field+": "+p.Message)
		}
		field, part, _ := strings.Cut(tt.want, ": ")
		ok := slices.ContainsFunc(got, func(p string) bool {
			return strings.HasPrefix(p, field+": ") && containsAll(p, part)
		})
		if tt.want == "" && len(got) > 0 || tt.want != "" && !ok {
			t.Errorf("%s %s\ngot  %q\nwant %q", tt.kind, tt.body, got, tt.want)
		}
	}
}

// containsAll tells whether a text has the words of another, in that order.
func containsAll(text, words string) bool {
	for word := range strings.FieldsSeq(words) {
		_, after, found := strings.Cut(text, word)
		if !found {
			return false
		}
		text = after
	}
	return true
}

// TestWhatAServiceEntryPrefersIsKnown gives a preference by annotation.
func TestWhatAServiceEntryPrefersIsKnown(t *testing.T) {
	const field = "metadata.annotations[networking.istio.io/traffic-distribution]"
	for prefers, want := range map[string]string{"PreferSameZone": "", "Any": "", "Nearby": "W " + field + ": \"Nearby\" prefers nothing"} {
		o := object(t, "ServiceEntry", "spec: {hosts: [a.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}")
		o.Annotations = map[string]string{"networking.istio.io/traffic-distribution": prefers}
		checkRule(t, o, want)
		namespace := &model.Object{Key: model.Key{Kind: model.KindNamespace, Name: "a"}, Annotations: o.Annotations, Spec: &corev1.Namespace{}}
		checkRule(t, namespace, want)
	}
}
