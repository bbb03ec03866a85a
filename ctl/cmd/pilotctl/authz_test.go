package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const authzYAML = `
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.1.0.1, selector: {app: cart}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec: {selector: {matchLabels: {app: cart}}, template: {metadata: {labels: {app: cart, sidecar.istio.io/inject: "true"}}, spec: {containers: [{name: c, image: c}]}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: cart, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  rules:
  - from: [{source: {principals: [cluster.local/ns/shop/sa/front]}}]
    to: [{operation: {methods: [GET], paths: [/items*]}}]
  - to: [{operation: {paths: [/me]}}]
    when: [{key: "request.auth.claims[role]", values: [user]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-dots, namespace: shop}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/items/secret]}}]}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "extensionProviders: [{name: opa, envoyExtAuthzGrpc: {service: opa.shop.svc.cluster.local, port: 9191}}]"}
---
apiVersion: v1
kind: Service
metadata: {name: opa, namespace: shop}
spec: {clusterIP: 10.1.0.2, selector: {app: opa}, ports: [{name: grpc, port: 9191}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: shop}
spec: {action: CUSTOM, provider: {name: opa}, rules: [{to: [{operation: {paths: [/items/dear*]}}]}]}
`

func TestAuthzExplain(t *testing.T) {
	dir := t.TempDir()
	writeText(t, filepath.Join(dir, "a.yaml"), authzYAML)
	const front, back = "--from=cluster.local/ns/shop/sa/front", "--from=cluster.local/ns/shop/sa/back"
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{front, "--path=/items/1"}, 0, "allowed: by ns[shop]-policy[cart]-rule[0]"},
		{[]string{front, "--path=/items/1", "--method=POST"}, 80, "nearest rule ns[shop]-policy[cart]-rule[0] did not: to[0].operation.methods"},
		{[]string{"--from=cluster.local/ns/shop/sa/back", "--path=/items/1"}, 80, "did not: from[0].source.principals"},
		{[]string{front, "--path=/x/../items/secret"}, 80, "denied: by ns[shop]-policy[no-dots]-rule[0]"},
		{[]string{front, "--path=/items/dear"}, 0, "asks provider opa, by istio-ext-authz-opa-ns[shop]-policy[ask]-rule[0]; if it allows: allowed: by ns[shop]-policy[cart]-rule[0]"},
		{[]string{"--from=cluster.local/ns/shop/sa/back", "--path=/items/dear"}, 80, "asks provider opa, by istio-ext-authz-opa-ns[shop]-policy[ask]-rule[0]; if it allows: denied: no ALLOW"},
		{[]string{"--path=/items/1"}, 80, "refused: port 8080 takes mutual TLS only, and the client has no certificate; PeerAuthentication shop/default is STRICT"},
		{[]string{front, "--tcp"}, 80, "refused: port 8080 takes HTTP, and this is another protocol\n"},
		{[]string{front, "--path=/items/1", "-o=json"}, 0, `"rule": "ns[shop]-policy[cart]-rule[0]"`},
		{[]string{back, "--path=/me", "-o=json"}, 80, `"missed": "ns[shop]-policy[cart]-rule[1] when[0].values"`},
		// The rule about the caller is nearer than one of which less is missing, and all that is missing of it is told.
		{[]string{front, "--path=/me"}, 80, "rule[0] did not: to[0].operation.paths\n"},
		{[]string{front, "--path=/x", "--method=POST"}, 80, "rule[0] did not: to[0].operation.methods, to[0].operation.paths\n"},
		{[]string{back, "--path=/x", "--method=POST"}, 80, "rule[1] did not: when[0].values, to[0].operation.paths\n"},
		{[]string{"--from=garbage"}, 1, "there is no workload default/garbage in the files"},
		{[]string{"--from=a/b/c"}, 2, `--from "a/b/c": give trust-domain/ns/NAMESPACE/sa/ACCOUNT`},
		{[]string{"--from=spiffe://cluster.local/ns//sa/front"}, 2, "give trust-domain/ns/NAMESPACE/sa/ACCOUNT"},
		{[]string{"--to=shop/cart"}, 80, "refused: port 8080 takes mutual TLS only"},
		{[]string{front, "--to=shop/cart:0"}, 2, `port "0" is not between 1 and 65535`},
	} {
		out, _, err := explainAuthz(append(tc.args, dir)...)
		if text := out + said(err); codeOf(err) != tc.code || !strings.Contains(text, tc.want) {
			t.Errorf("%v: %d, %q, want %d, %q", tc.args, codeOf(err), text, tc.code, tc.want)
		}
	}
}

// What more objects make of calls.
func TestAuthzExplainOfMore(t *testing.T) {
	const tokens = "\n---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: jwt, namespace: shop}\n" +
		"spec: {jwtRules: [{issuer: \"https://a.example.com\", audiences: [\"https://shop/\"], jwksUri: \"https://a.example.com/keys\"}%s]}\n"
	const policy = "\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: more, namespace: shop%s}\nspec: {%s}\n"
	const trial = `, annotations: {istio.io/dry-run: "true"}`
	const second = "\n---\napiVersion: v1\nkind: Service\nmetadata: {name: more, namespace: shop}\nspec: {clusterIP: 10.1.0.3, selector: {app: cart}, ports: [{name: tcp, port: 90, targetPort: 9090}]}\n"
	const off = "\n---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: clear, namespace: shop}\nspec: {selector: {matchLabels: {app: cart}}, mtls: {mode: DISABLE}}\n"
	oneIssuer, twoIssuers := fmt.Sprintf(tokens, ""), fmt.Sprintf(tokens, `, {issuer: "https://b.example.com", jwksUri: "https://b.example.com/keys"}`)
	const back = "--from=cluster.local/ns/shop/sa/back"
	const user, allowed = "--claim=role=user", "allowed: by ns[shop]-policy[cart]-rule[1]"
	for name, tc := range map[string]struct {
		more string
		args []string
		code int
		want string
	}{
		"no one takes tokens":  {"", []string{user, back}, 80, "did not: when[0].values\nno RequestAuthentication is for the workload, so no claim counts"},
		"a valid token":        {oneIssuer, []string{user}, 0, allowed},
		"another claim":        {oneIssuer, []string{`--claim=role=["admin"]`, back}, 80, "did not: when[0].values"},
		"its issuer":           {oneIssuer, []string{user, "--claim=iss=https://a.example.com", `--claim=aud=["x", "shop"]`}, 0, allowed},
		"another issuer":       {oneIssuer, []string{user, "--claim=iss=https://c.example.com"}, 80, `denied: 401: the token's issuer "https://c.example.com" is none of the workload's RequestAuthentications: https://a.example.com`},
		"another audience":     {oneIssuer, []string{user, "--claim=aud=x"}, 80, `denied: 403: the token's audience "x" is none that its issuer's RequestAuthentication takes: https://shop/`},
		"of which issuer":      {twoIssuers, []string{user}, 2, "give one with --claim iss=ISSUER: https://a.example.com, https://b.example.com"},
		"one of two":           {twoIssuers, []string{user, "--claim=iss=https://b.example.com"}, 0, allowed},
		"a trial denies":       {oneIssuer + fmt.Sprintf(policy, trial, "action: DENY, rules: [{}]"), []string{user}, 0, allowed + "\ndry run: would be denied by ns[shop]-policy[more]-rule[0]\n"},
		"a trial denies not":   {oneIssuer + fmt.Sprintf(policy, trial, "action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}]"), []string{user}, 0, allowed + "\n"},
		"a trial allows":       {oneIssuer + fmt.Sprintf(policy, trial, "rules: [{}]"), []string{back}, 80, "when[0].values\ndry run: would be allowed by ns[shop]-policy[more]-rule[0]\n"},
		"a trial allows not":   {oneIssuer + fmt.Sprintf(policy, trial, "rules: [{to: [{operation: {methods: [PUT]}}]}]"), []string{user}, 0, allowed + "\ndry run: would be denied, as no ALLOW policy on trial matched\n"},
		"an audit":             {oneIssuer + fmt.Sprintf(policy, "", "action: AUDIT, rules: [{}]"), []string{user}, 0, allowed + "\naudited: by ns[shop]-policy[more]-rule[0]\n"},
		"no mutual TLS":        {off, nil, 80, "when[0].values\nport 8080 takes no mutual TLS, as PeerAuthentication shop/clear is DISABLE: proxies send it plaintext, and it does not know who calls\n"},
		"anybody in plaintext": {off + fmt.Sprintf(policy, "", "rules: [{}]"), nil, 0, "allowed: by ns[shop]-policy[more]-rule[0]\nport 8080 takes no mutual TLS"},
		"another trust domain": {"", []string{"--from=other.example/ns/shop/sa/front", user}, 80, "refused: port 8080 takes certificates of cluster.local only, so the handshake fails"},
		"which port":           {second, []string{"--to=shop/cart"}, 2, "the workload has ports 8080, 9090; give one, as NAMESPACE/WORKLOAD:PORT"},
		"a request to TCP":     {second + fmt.Sprintf(policy, "", "rules: [{to: [{operation: {ports: [\"9090\"]}}]}]"), []string{"--to=shop/cart:9090"}, 80, "denied: by ns[shop]-policy[no-dots]-rule[0]\nport 9090 takes no HTTP"},
		"bytes to TCP":         {second, []string{"--to=shop/cart:9090", "--tcp"}, 80, "denied: by ns[shop]-policy[no-dots]-rule[0]\n"},
		"a port of no Service": {"", []string{"--to=shop/cart:81", user}, 80, "no RequestAuthentication"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeText(t, filepath.Join(dir, "a.yaml"), authzYAML+tc.more)
			out, _, err := explainAuthz(append([]string{"--from=cluster.local/ns/shop/sa/front", "--path=/me", dir}, tc.args...)...)
			if text := out + said(err); codeOf(err) != tc.code || !strings.Contains(text, tc.want) {
				t.Errorf("%d, %q, want %d, %q", codeOf(err), text, tc.code, tc.want)
			}
		})
	}
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

const refusedYAML = `
apiVersion: security.istio.io/v1
kind: %s
metadata: {name: bad, namespace: shop}
spec: {%s}
`

// What denies in the place of a refused object decides here too, and what is wrong is told.
func TestAuthzExplainOfRefusedObjects(t *testing.T) {
	for name, tc := range map[string]struct {
		kind, spec, want string
	}{
		"a DENY policy":           {"AuthorizationPolicy", "action: DENY", "denied: by ns[shop]-policy[refused:AuthorizationPolicy:bad]-rule[0]"},
		"an ALLOW policy":         {"AuthorizationPolicy", "rules: [{when: [{key: request.foo, values: [a]}]}]", "allowed: by ns[shop]-policy[cart]-rule[0]"},
		"an AUDIT policy":         {"AuthorizationPolicy", "action: AUDIT, rules: [{when: [{key: request.foo, values: [a]}]}]", "allowed: by ns[shop]-policy[cart]-rule[0]"},
		"of another workload":     {"AuthorizationPolicy", "selector: {matchLabels: {app: x}}, action: DENY", "allowed: by ns[shop]-policy[cart]-rule[0]"},
		"a RequestAuthentication": {"RequestAuthentication", `jwtRules: [{issuer: ""}]`, "denied: by ns[shop]-policy[refused:RequestAuthentication:bad]-rule[0]"},
		"a PeerAuthentication":    {"PeerAuthentication", "mtls: {mode: STRCT}", "allowed: by ns[shop]-policy[cart]-rule[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			good, bad := t.TempDir(), t.TempDir()
			writeText(t, filepath.Join(good, "a.yaml"), authzYAML)
			writeText(t, filepath.Join(bad, "b.yaml"), fmt.Sprintf(refusedYAML, tc.kind, tc.spec))
			out, errs, err := explainAuthz("--from=cluster.local/ns/shop/sa/front", "--path=/items/1", good, bad)
			if !strings.Contains(out, tc.want) {
				t.Errorf("%q, %v, want %q", out, err, tc.want)
			}
			if told := strings.Contains(errs, tc.kind+" shop/bad"); told == (name == "of another workload") {
				t.Errorf("stderr is %q", errs)
			}
		})
	}
}

func writeText(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func explainAuthz(args ...string) (out, errs string, _ error) {
	var stdout, stderr bytes.Buffer
	cmd := newRoot()
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(append([]string{"authz", "explain", "--to=shop/cart:8080"}, args...))
	err := cmd.Execute()
	return stdout.String(), stderr.String(), err
}
