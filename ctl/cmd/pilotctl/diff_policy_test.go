package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// What policies change is told of who and what they name, and of all others.
func TestDiffOfPolicies(t *testing.T) {
	const domain = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: \"trustDomain: example.org\"}\n---\n"
	const gateway = `
apiVersion: v1
kind: Pod
metadata: {name: front, labels: {istio: front}}
spec: {containers: [{name: istio-proxy, image: x, args: [proxy, router]}]}
status: {podIP: 10.9.0.4, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front}
spec: {selector: {istio: front}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example.com, b.example.com]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front}
spec: {hosts: [a.example.com, b.example.com], gateways: [front], http: [{route: [{destination: {host: shop}}]}]}
---
`
	of := func(app, spec string) string {
		return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec: {selector: {matchLabels: {" + app + "}}, " + spec + "}\n---\n"
	}
	policy := func(spec string) string { return of("app: shop", spec) }
	const unmatched, denied = "403: denied, as no ALLOW policy matches", "403: denied by default/p spec.rules[0]"
	for name, c := range map[string]struct {
		before, after string
		want          []string
	}{
		"callers in another trust domain": {
			domain, domain + policy("rules: [{from: [{source: {namespaces: [a]}}, {source: {principals: [cluster.local/ns/b/sa/b]}}]}]"),
			[]string{"any request of a client in the clear, any other workload of the mesh to any port: " + unmatched},
		},
		"denied callers in another trust domain": {
			domain, domain + policy("action: DENY, rules: [{from: [{source: {namespaces: [a], notPrincipals: ['*/ns/a/sa/b']}}]}]"),
			[]string{"any request of namespace a to any port: " + denied},
		},
		"some callers and a method": {
			"", policy("rules: [{from: [{source: {namespaces: [a, b]}}], to: [{operation: {methods: [GET]}}]}]"),
			[]string{
				"GET / of a client in the clear, any other workload of the mesh to any port: " + unmatched,
				"POST / of anybody to any port: " + unmatched,
			},
		},
		"some callers and any path": {
			"", policy("rules: [{from: [{source: {namespaces: [a, b]}}], to: [{operation: {paths: ['/*']}}]}]"),
			[]string{"any request of a client in the clear, any other workload of the mesh to any port: " + unmatched},
		},
		"any caller from an address": {
			"", policy("rules: [{from: [{source: {principals: ['*'], ipBlocks: [192.0.2.0/24]}}]}]"),
			[]string{"any request of a client in the clear, any other workload of the mesh to any port: " + unmatched},
		},
		"a method":        {"", policy("rules: [{to: [{operation: {methods: [GET]}}]}]"), []string{"POST / of anybody to any port: " + unmatched}},
		"several methods": {"", policy("rules: [{to: [{operation: {methods: [GET]}}, {operation: {methods: [POST]}}]}]"), []string{"PUT / of anybody to any port: " + unmatched}},
		"a path":          {"", policy("rules: [{to: [{operation: {paths: [/]}}]}]"), []string{"GET /any of anybody to any port: " + unmatched}},
		"a method of a path": {
			policy("rules: [{to: [{operation: {paths: [/a]}}]}]"), policy("rules: [{to: [{operation: {paths: [/a], methods: [GET]}}]}]"),
			[]string{"POST /a of anybody to any port: " + unmatched},
		},
		"all methods but some": {
			"", policy("action: DENY, rules: [{to: [{operation: {notMethods: [GET, POST]}}]}]"),
			[]string{"PUT / of anybody to any port: " + denied},
		},
		"a host": {"", policy("rules: [{to: [{operation: {hosts: [localhost]}}]}]"), []string{"GET / of host any of anybody to any port: " + unmatched}},
		"a port": {"", policy("rules: [{to: [{operation: {ports: ['8080']}}]}]"), []string{"any request of anybody to any other port: " + unmatched}},
		"a method at a gateway": {
			"", of("istio: front", "rules: [{to: [{operation: {methods: [GET]}}]}]"), []string{"POST / of a client at a.example.com:80: " + unmatched},
		},
		"a host of a gateway": {
			"", of("istio: front", "rules: [{to: [{operation: {hosts: [a.example.com]}}]}]"),
			[]string{"GET / of host b.example.com of a client at a.example.com:80: " + unmatched},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			before, after := filepath.Join(dir, "before.yaml"), filepath.Join(dir, "after.yaml")
			base := runningMesh(t) + gateway
			writeFile(t, before, base+c.before)
			writeFile(t, after, base+c.after)
			out, said, code := pilotctl(t, nil, "diff", after, "--against", before)
			var got []string
			for line := range strings.Lines(out) {
				request, becomes, ok := strings.Cut(strings.TrimSpace(line), ": allowed")
				if _, after, _ := strings.Cut(becomes, " -> "); ok {
					got = append(got, request+": "+after)
				}
			}
			if code != exitFindings || strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("exit code %d\n%s%s", code, out, said)
			}
		})
	}
}
