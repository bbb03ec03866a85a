package validate_test

import (
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// TestRulesOfAuthorizationPolicies gives each rule a policy that breaks it, as TestRules does.
func TestRulesOfAuthorizationPolicies(t *testing.T) {
	from := func(source string) string { return "spec: {rules: [{from: [{source: {" + source + "}}]}]}" }
	to := func(operation string) string { return "spec: {rules: [{to: [{operation: {" + operation + "}}]}]}" }
	when := func(condition string) string { return "spec: {rules: [{when: [{" + condition + "}]}]}" }
	custom := func(rule string) string {
		return "spec: {action: CUSTOM, provider: {name: p}, rules: [{" + rule + "}]}"
	}
	for _, tc := range []struct{ spec, want string }{
		{"spec: {}", ""},
		{"spec: {rules: [{}]}", ""},
		{"spec: {action: DENY}", "spec.rules: are missing"},
		{"spec: {action: CUSTOM, provider: {name: p}}", "spec.rules: are missing"},
		{"spec: {action: CUSTOM, rules: [{}]}", "spec.provider.name: missing"},
		{"spec: {provider: {name: p}}", "spec.provider: CUSTOM only"},
		{"spec: {rules: [" + strings.Repeat("{},", 513) + "]}", "spec.rules: more than 512"},
		{"spec: {selector: {matchLabels: {a: '*'}}}", "spec.selector.matchLabels[a]: no label value"},
		{"spec: {selector: {matchLabels: {a: b}}, targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: g}]}", "spec.targetRefs: beside a selector"},
		{"spec: {targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io}]}", "spec.targetRefs[0].name: missing"},
		{"spec: {targetRefs: [{group: gateway.networking.k8s.io, name: g}]}", "spec.targetRefs[0].kind: missing"},
		{"spec: {targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: g, namespace: x}]}", "spec.targetRefs[0].namespace: own namespace"},
		{"spec: {targetRefs: [{kind: Service, name: s}]}", "W spec.targetRefs[0]: waypoints"},
		{"spec: {targetRef: {kind: Gateway, group: gateway.networking.k8s.io, name: g}}", "W spec.targetRef: old form"},
		{"spec: {targetRefs: [" + strings.Repeat("{kind: Gateway, group: gateway.networking.k8s.io, name: g},", 17) + "]}", "spec.targetRefs: more than 16"},
		{"spec: {rules: [{from: [{}]}]}", "spec.rules[0].from[0].source: says nothing"},
		{from("principals: [a/ns/b/sa/c], notIpBlocks: [10.0.0.0/8]"), ""},
		{from("principals: ['']"), "spec.rules[0].from[0].source.principals[0]: empty"},
		{from("principals: ['*x*']"), "W spec.rules[0].from[0].source.principals[0]: only a star at one end"},
		{from("ipBlocks: [10.0.0.0/33]"), "spec.rules[0].from[0].source.ipBlocks[0]: neither an address"},
		{from("notRemoteIpBlocks: [x]"), "spec.rules[0].from[0].source.notRemoteIpBlocks[0]: neither an address"},
		{from("serviceAccounts: [a/b/c]"), "spec.rules[0].from[0].source.serviceAccounts[0]: no service account"},
		{from("serviceAccounts: ['*']"), "spec.rules[0].from[0].source.serviceAccounts[0]: no service account"},
		{from("serviceAccounts: [a], namespaces: [b]"), "spec.rules[0].from[0].source.serviceAccounts: beside"},
		{"spec: {rules: [{to: [{operation: {}}]}]}", "spec.rules[0].to[0].operation: says nothing"},
		{to("ports: ['0']"), "spec.rules[0].to[0].operation.ports[0]: no port"},
		{to("notPorts: [http]"), "spec.rules[0].to[0].operation.notPorts[0]: no port"},
		{to("hosts: ['']"), "spec.rules[0].to[0].operation.hosts[0]: empty"},
		{to("paths: ['/a/{*}/b/{**}', /c*]"), ""},
		{to("paths: ['/{**}/{*}']"), "spec.rules[0].to[0].operation.paths[0]: last operator"},
		{to("paths: ['/a{*}']"), "spec.rules[0].to[0].operation.paths[0]: segment"},
		{to("notPaths: ['{*}']"), "spec.rules[0].to[0].operation.notPaths[0]: slash"},
		{when("key: source.ip"), "spec.rules[0].when[0]: says nothing"},
		{when("values: [a]"), "spec.rules[0].when[0].key: missing"},
		{when("key: source.color, values: [a]"), "spec.rules[0].when[0].key: no key"},
		{when("key: 'request.headers[]', values: [a]"), "spec.rules[0].when[0].key: no key"},
		{when("key: 'request.headers[a b]', values: [a]"), "spec.rules[0].when[0].key: no key"},
		{when("key: 'request.auth.claims[a][', values: [a]"), "spec.rules[0].when[0].key: no key"},
		{when("key: 'request.auth.claims[a][b]', notValues: [a]"), ""},
		{when("key: 'experimental.envoy.filters.http.x[a]', values: ['[a]']"), ""},
		{when("key: destination.port, values: [a]"), "spec.rules[0].when[0].values[0]: no port"},
		{when("key: remote.ip, notValues: [a]"), "spec.rules[0].when[0].notValues[0]: neither an address"},
		{custom("to: [{operation: {paths: [/a]}}]"), ""},
		{custom("from: [{source: {principals: ['*']}}]"), "spec.rules[0].from[0].source.principals: not supported with the action CUSTOM"},
		{custom("when: [{key: request.auth.principal, values: ['*']}]"), "spec.rules[0].when[0].key: not supported with the action CUSTOM"},
		{custom("when: [{key: source.namespace, values: [a]}]"), "spec.rules[0].when[0].key: not supported with the action CUSTOM"},
	} {
		var got []string
		for _, p := range validate.Object(object(t, "AuthorizationPolicy", tc.spec)) {
			text := p.Field + ": " + p.Message
			if p.Severity == "Warning" {
				text = "W " + text
			}
			got = append(got, text)
		}
		field, part, _ := strings.Cut(tc.want, ": ")
		switch {
		case tc.want == "" && len(got) == 0:
		case tc.want != "" && len(got) == 1 && strings.HasPrefix(got[0], field+": ") && strings.Contains(got[0], part):
		default:
			t.Errorf("%s: %q, want %q", tc.spec, got, tc.want)
		}
	}
}

// TestASingleTargetIsCheckedAsAListIs holds for each kind that has the old form: what no proxy enforces is told.
func TestASingleTargetIsCheckedAsAListIs(t *testing.T) {
	const old = "spec.targetRef: is an old form"
	for _, kind := range []string{"AuthorizationPolicy", "RequestAuthentication", "Telemetry"} {
		for ref, want := range map[string]string{
			"{kind: Gateway, group: gateway.networking.k8s.io, name: g}":               "",
			"{kind: Service, name: s}":                                                 "spec.targetRef: waypoints",
			"{kind: Gateway, group: gateway.networking.k8s.io}":                        "spec.targetRef.name: missing",
			"{group: gateway.networking.k8s.io, name: g}":                              "spec.targetRef.kind: missing",
			"{kind: Gateway, group: gateway.networking.k8s.io, name: g, namespace: x}": "spec.targetRef.namespace: own namespace",
		} {
			var got []string
			for _, p := range validate.Object(object(t, kind, "spec: {targetRef: "+ref+"}")) {
				if text := p.Field + ": " + p.Message; !strings.HasPrefix(text, old) {
					got = append(got, text)
				}
			}
			field, part, _ := strings.Cut(want, ": ")
			if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], field+": ") || !strings.Contains(got[0], part)) {
				t.Errorf("%s %s: %q, want %q", kind, ref, got, want)
			}
		}
	}
}
