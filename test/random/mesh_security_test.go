package random

import (
	"fmt"
	"strings"
)

// target is a selector, a reference, or nothing, with a comma after it.
func (e *editor) target() string {
	return e.one("", "", fmt.Sprintf("selector: {matchLabels: {app: s%d}}, ", e.rng.IntN(4)), "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw}], ")
}

func (e *editor) authorizationPolicy() string {
	from := e.one("", "from: [{source: {principals: [cluster.local/ns/a/sa/x]}}], ", "from: [{source: {notNamespaces: [b]}}, {source: {ipBlocks: [10.0.0.0/8]}}], ",
		"from: [{source: {requestPrincipals: [\"*\"]}}], ", "from: [{source: {serviceAccounts: [x]}}], ")
	to := e.one("", "to: [{operation: {methods: [GET], paths: [/a*]}}], ", "to: [{operation: {ports: [\"8080\"]}}], ", "to: [{operation: {hosts: [x.example], paths: [\"/{*}/b/{**}\"]}}], ")
	when := e.one("", "when: [{key: source.ip, values: [10.0.0.1]}]", "when: [{key: \"request.headers[x]\", notValues: [y]}]")
	rules := e.one("", fmt.Sprintf(", rules: [{%s%s%s}]", from, to, when), fmt.Sprintf(", rules: [{%s}, {%s}]", from, to))
	action := e.one("ALLOW", "DENY", "AUDIT", fmt.Sprintf("CUSTOM, provider: {name: asks%d}", e.rng.IntN(3)))
	return fmt.Sprintf(`apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
%s
spec: {%saction: %s%s}`, e.metadata(fmt.Sprintf("z%d", e.rng.IntN(3)), e.one("a", "b", "istio-system")), e.target(), action, rules)
}

// authorizers are the mesh's servers of external authorization, some of which CUSTOM policies name.
func (e *editor) authorizers() string {
	var b strings.Builder
	for i := range e.rng.IntN(3) {
		where := fmt.Sprintf("service: %s, port: %s", e.one("s0.a.svc.cluster.local", "b/s1.b.svc.cluster.local", "w.example.com"), e.one("80", "9000"))
		fmt.Fprintf(&b, "    - name: asks%d\n      %s\n", i, e.one(
			"envoyExtAuthzHttp: {"+where+", pathPrefix: /check, includeRequestHeadersInCheck: [cookie], failOpen: true}",
			"envoyExtAuthzHttp: {"+where+", includeRequestBodyInCheck: {maxRequestBytes: 100}, clearRouteCache: true}",
			"envoyExtAuthzGrpc: {"+where+", timeout: 2s, statusOnError: '503'}"))
	}
	if b.Len() == 0 {
		return ""
	}
	return "    extensionProviders:\n" + b.String()
}

const keySet = `{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"tN7k19WXA7HwwS-iALEpqEATS8n2T9PJSmnGM5G-4Sc","y":"B_GdbHJ5CgdvKxlGu9KuD-KdfD7rwi8KKdRhNrJC0JU"}]}`

func (e *editor) requestAuthentication() string {
	keys := e.one(", jwks: '"+keySet+"'", ", jwksUri: \"https://keys.example/a\"", "")
	rule := fmt.Sprintf("{issuer: \"https://%s.example\"%s%s}", e.one("a", "b"), keys, e.one("", ", audiences: [x]", ", fromHeaders: [{name: x-token}]", ", outputPayloadToHeader: x-payload"))
	return fmt.Sprintf(`apiVersion: security.istio.io/v1
kind: RequestAuthentication
%s
spec: {%sjwtRules: [%s]}`, e.metadata(fmt.Sprintf("t%d", e.rng.IntN(3)), e.one("a", "b", "istio-system")), e.target(), rule)
}
