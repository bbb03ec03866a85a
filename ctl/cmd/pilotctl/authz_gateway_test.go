package main

import (
	"path/filepath"
	"strings"
	"testing"
)

const edgeYAML = `apiVersion: apps/v1
kind: Deployment
metadata: {name: edge, namespace: gw}
spec:
  selector: {matchLabels: {istio: edge}}
  template:
    metadata: {labels: {istio: edge}, annotations: {inject.istio.io/templates: gateway}}
    spec: {serviceAccountName: edge, containers: [{name: istio-proxy, image: auto}]}
---
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: gw}
spec: {clusterIP: 10.1.0.9, selector: {istio: edge}, ports: [{name: http, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}, {name: mesh, port: 444, targetPort: 8444}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop, namespace: gw}
spec:
  selector: {istio: edge}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}, hosts: [raw.example]}
  - {port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: c}, hosts: ["*.example"]}
  - {port: {number: 444, name: mesh, protocol: HTTPS}, tls: {mode: ISTIO_MUTUAL}, hosts: [in.example]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: raw, namespace: gw}
spec: {hosts: [raw.example], gateways: [shop], tls: [{match: [{sniHosts: [raw.example]}], route: [{destination: {host: cart.shop.svc.cluster.local, port: {number: 80}}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: edge, namespace: gw}
spec:
  selector: {matchLabels: {istio: edge}}
  action: DENY
  rules:
  - to: [{operation: {paths: [/admin*]}}]
  - from: [{source: {principals: [cluster.local/ns/shop/sa/bad]}}]
  - to: [{operation: {ports: ["8444"], methods: [PUT]}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: usual, namespace: shop}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: from-edge, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  rules: [{from: [{source: {principals: [cluster.local/ns/gw/sa/edge, cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account]}}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: bare, namespace: shop, labels: {sidecar.istio.io/inject: "false"}}
spec: {containers: [{name: c, image: c}]}
`

// Gateways are asked as workloads, and call as such. What decides is told with its file and line.
func TestAuthzExplainOfGateways(t *testing.T) {
	dir := t.TempDir()
	writeText(t, filepath.Join(dir, "a.yaml"), authzYAML)
	edge := filepath.Join(dir, "b.yaml")
	writeText(t, edge, edgeYAML)
	const bad = "--from=cluster.local/ns/shop/sa/bad"
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"a path":                     {[]string{"--to=gw/edge:80", "--path=/admin/x"}, 80, "denied: by ns[gw]-policy[edge]-rule[0]\nport 80 of the gateway's Service leads to port 8080"},
		"its line":                   {[]string{"--to=gw/edge:80", "--path=/admin/x"}, 80, "AuthorizationPolicy gw/edge spec.rules[0], " + edge + ":38\n"},
		"another path":               {[]string{"--to=gw/edge:80"}, 0, "allowed: no ALLOW policy"},
		"no certificate is asked":    {[]string{"--to=gw/edge:80", bad}, 0, "asks no client for a certificate"},
		"TLS that it ends":           {[]string{"--to=gw/edge:443", "--host=a.example", "--path=/admin"}, 80, "denied: by ns[gw]-policy[edge]-rule[0]"},
		"TLS that passes":            {[]string{"--to=gw/edge:443", "--host=raw.example", "--path=/ok"}, 80, "forwards bytes and sees no request"},
		"a name of no server":        {[]string{"--to=gw/edge:443", "--host=b.other"}, 80, "refused: no server of port 8443 is for the name b.other"},
		"no name":                    {[]string{"--to=gw/edge:443"}, 80, "the client gives none"},
		"mutual TLS":                 {[]string{"--to=gw/edge:444", "--host=in.example", bad}, 80, "denied: by ns[gw]-policy[edge]-rule[1]"},
		"by the port of the gateway": {[]string{"--to=gw/edge:8444", "--host=in.example", "--method=PUT", "--from=shop/cart"}, 80, "denied: by ns[gw]-policy[edge]-rule[2]"},
		"no certificate":             {[]string{"--to=gw/edge:444", "--host=in.example"}, 80, "refused: port 8444 takes mutual TLS only, and the client has no certificate"},
		"bytes":                      {[]string{"--to=gw/edge:80", "--tcp"}, 80, "refused: port 8080 takes HTTP"},
		"a port of none":             {[]string{"--to=gw/edge:81"}, 80, "refused: no server of a Gateway listens on port 81"},
		"which port":                 {[]string{"--to=gw/edge"}, 2, "has ports 8080, 8443, 8444"},
		"the usual one":              {[]string{"--to=istio-system/istio-ingressgateway"}, 0, "allowed: no ALLOW policy"},
		"by the Gateway's name":      {[]string{"--to=shop/usual:80"}, 0, "allowed: no ALLOW policy"},
		"as the caller":              {[]string{"--from=gw/edge", "--path=/x"}, 0, "allowed: by ns[shop]-policy[from-edge]-rule[0]"},
		"the usual one as a caller":  {[]string{"--from=istio-system/istio-ingressgateway", "--path=/x"}, 0, "allowed: by ns[shop]-policy[from-edge]-rule[0]"},
		"a caller without a sidecar": {[]string{"--from=shop/bare"}, 80, "takes mutual TLS only, and the client has no certificate; PeerAuthentication shop/default is STRICT\nshop/bare has no sidecar"},
		"a caller of no file":        {[]string{"--from=shop/gone"}, 1, "there is no workload shop/gone"},
		"a workload without one":     {[]string{"--to=shop/bare:80"}, 1, "workload shop/bare has no sidecar, so no policy is enforced there: its pods keep out"},
		"where mutual TLS is asked":  {[]string{}, 80, "PeerAuthentication shop/default, " + filepath.Join(dir, "a.yaml") + ":12\n"},
		"the nearest rule":           {[]string{"--from=shop/bare", "--to=shop/cart:8080", "-o=json"}, 80, `"object": "PeerAuthentication shop/default"`},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := explainAuthz(append(tc.args, dir)...)
			if text := out + said(err); codeOf(err) != tc.code || !strings.Contains(text, tc.want) {
				t.Errorf("%d, %q, want %d, %q", codeOf(err), text, tc.code, tc.want)
			}
		})
	}
}
