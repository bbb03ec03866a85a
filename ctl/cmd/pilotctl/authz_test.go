package main

import (
	"bytes"
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
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(authzYAML), 0o644); err != nil {
		t.Fatal(err)
	}
	const front = "--from=cluster.local/ns/shop/sa/front"
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{front, "--path=/items/1"}, "allowed: by ns[shop]-policy[cart]-rule[0]"},
		{[]string{front, "--path=/items/1", "--method=POST"}, "nearest rule ns[shop]-policy[cart]-rule[0] did not: to[0].operation.methods"},
		{[]string{"--from=cluster.local/ns/shop/sa/back", "--path=/items/1"}, "did not: from[0].source.principals"},
		{[]string{front, "--path=/x/../items/secret"}, "denied: by ns[shop]-policy[no-dots]-rule[0]"},
		{[]string{front, "--path=/me", "--claim=role=user"}, "allowed: by ns[shop]-policy[cart]-rule[1]"},
		{[]string{front, "--path=/me", `--claim=role=["admin"]`}, "did not: when[0].values"},
		{[]string{front, "--path=/items/dear"}, "asks provider opa, by istio-ext-authz-opa-ns[shop]-policy[ask]-rule[0]; if it allows: allowed: by ns[shop]-policy[cart]-rule[0]"},
		{[]string{"--from=cluster.local/ns/shop/sa/back", "--path=/items/dear"}, "asks provider opa, by istio-ext-authz-opa-ns[shop]-policy[ask]-rule[0]; if it allows: denied: no ALLOW"},
		{[]string{"--path=/items/1"}, "refused: the port takes mutual TLS only"},
	} {
		var out bytes.Buffer
		cmd := newRoot()
		cmd.SetOut(&out)
		cmd.SetArgs(append([]string{"authz", "explain", dir, "--to=shop/cart:8080"}, tc.args...))
		if err := cmd.Execute(); err != nil {
			t.Errorf("%v: %v", tc.args, err)
		}
		if !strings.Contains(out.String(), tc.want) {
			t.Errorf("%v: %q, want %q", tc.args, out.String(), tc.want)
		}
	}
}
