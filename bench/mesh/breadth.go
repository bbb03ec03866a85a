package mesh

import (
	"bytes"
	"fmt"
)

// Breadth are the objects of a mesh that is used for more than routes: external services, security
// and patches. They are spread over the namespaces, their sorts in turn.
type Breadth struct {
	// ServiceEntries are of TLS by DNS, HTTP by fixed endpoints and TLS by SNI alone. Half of them are
	// exported to their own namespace.
	ServiceEntries int `json:"serviceEntries"`
	// Policies are AuthorizationPolicies of a namespace and of a workload, RequestAuthentications with
	// keys, and PeerAuthentications of a port.
	Policies int `json:"policies"`
	// EnvoyFilters patch filters and virtual hosts of a workload, clusters and listeners of a
	// namespace, and gateways where there are any. None is in ns-0, whose proxies stand for others.
	EnvoyFilters int `json:"envoyFilters"`
}

func (b Breadth) check(namespaces int) error {
	if min(b.ServiceEntries, b.Policies, b.EnvoyFilters) < 0 || b.EnvoyFilters > 0 && namespaces < 2 {
		return fmt.Errorf("synthetic mesh: %+v in %d namespaces, want no negative number, and two namespaces for EnvoyFilters", b, namespaces)
	}
	return nil
}

// renderBreadth gives those of a namespace.
func (m *Mesh) renderBreadth(b *bytes.Buffer, n int) {
	for i := n; i < m.spec.Breadth.ServiceEntries; i += m.spec.Namespaces {
		m.renderExternal(b, i, 0)
	}
	for i := n; i < m.spec.Breadth.Policies; i += m.spec.Namespaces {
		m.renderPolicy(b, i)
	}
	for i := range m.spec.Breadth.EnvoyFilters {
		if 1+i%max(1, m.spec.Namespaces-1) == n {
			m.renderFilter(b, i, n)
		}
	}
}

// external is the ServiceEntry that changes: it is in ns-0, is for that namespace alone, and its
// addresses are in its cluster.
const external = 0

func externalHost(i int) string { return fmt.Sprintf("ext-%d.example.net", i) }

func (m *Mesh) renderExternal(b *bytes.Buffer, i, generation int) {
	host, exportTo := externalHost(i), `["."]`
	if (i+i/m.spec.Namespaces)%2 != 0 {
		exportTo = `["*"]`
	}
	port, rest := "{number: 443, name: tls, protocol: TLS}", ""
	switch i % 3 {
	case 0:
		rest = fmt.Sprintf("resolution: DNS\n  endpoints: [{address: a%d.%s}, {address: b.%s}]", generation, host, host)
	case 1:
		port = "{number: 80, name: http, protocol: HTTP}"
		rest = fmt.Sprintf("resolution: STATIC\n  endpoints: [{address: %s}, {address: %s}]", ipAt(12<<24, 2*i), ipAt(12<<24, 2*i+1))
	case 2:
		rest = "resolution: NONE"
	}
	document(b, "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: ext-%d, namespace: %s}\nspec:\n"+
		"  hosts: [%s]\n  exportTo: %s\n  location: MESH_EXTERNAL\n  ports: [%s]\n  %s",
		i, Namespace(i%m.spec.Namespaces), host, exportTo, port, rest)
}

// keys are the example of RFC 7517, appendix A.1.
const keys = `{"keys":[{"kty":"RSA","alg":"RS256","kid":"2011-04-29","e":"AQAB","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78L` +
	`hWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FD` +
	`W2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIq` +
	`bw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}]}`

// renderPolicy gives one of five sorts. Each namespace has all of them where there are so many.
func (m *Mesh) renderPolicy(b *bytes.Buffer, i int) {
	n, turn := i%m.spec.Namespaces, i/m.spec.Namespaces
	ns, app := Namespace(n), fmt.Sprintf("svc-%d", m.inNS[n][turn%len(m.inNS[n])])
	policy := func(kind, spec string, args ...any) {
		document(b, "apiVersion: security.istio.io/v1\nkind: %s\nmetadata: {name: policy-%d, namespace: %s}\nspec:\n"+spec,
			append([]any{kind, i, ns}, args...)...)
	}
	switch (n + turn) % 5 {
	case 0:
		policy("AuthorizationPolicy", "  action: ALLOW\n  rules:\n  - from: [{source: {namespaces: [%s, istio-system]}}]\n"+
			"  - to: [{operation: {methods: [GET, HEAD], paths: [/healthz, /public/*]}}]", ns)
	case 1:
		policy("AuthorizationPolicy", "  selector: {matchLabels: {app: %s}}\n  action: DENY\n"+
			"  rules: [{from: [{source: {notPrincipals: [cluster.local/ns/%s/sa/admin]}}], to: [{operation: {paths: [/admin/*]}}]}]", app, ns)
	case 2:
		policy("RequestAuthentication", "  selector: {matchLabels: {app: %s}}\n"+
			"  jwtRules: [{issuer: https://issuer-%d.example.org, audiences: [%s], jwks: '%s'}]", app, turn, app, keys)
	case 3:
		policy("PeerAuthentication", "  selector: {matchLabels: {app: %s}}\n  portLevelMtls: {%d: {mode: STRICT}}", app, HTTPPort)
	case 4:
		policy("AuthorizationPolicy", "  selector: {matchLabels: {app: %s}}\n  action: ALLOW\n"+
			"  rules: [{from: [{source: {requestPrincipals: [\"*\"]}}], when: [{key: \"request.auth.claims[group]\", values: [staff, g-%d]}]}]", app, i)
	}
}

const (
	managerFilter = "envoy.filters.network.http_connection_manager"
	types         = "type.googleapis.com/envoy.extensions.filters."
)

// renderFilter gives one of four sorts, and of a fifth where there are gateways.
func (m *Mesh) renderFilter(b *bytes.Buffer, i, n int) {
	service := m.inNS[n][0]
	sorts := 4
	if m.spec.Gateways.Count > 0 {
		sorts = 5
	}
	ns, selector := Namespace(n), fmt.Sprintf("  workloadSelector: {labels: {app: svc-%d}}\n", service)
	name := fmt.Sprintf("filter-%d", i)
	switch i % sorts {
	case 0:
		envoyFilter(b, name, ns, selector, lua("SIDECAR_INBOUND", 0))
	case 1:
		envoyFilter(b, name, ns, "", m.timeout(service, 0))
	case 2:
		envoyFilter(b, name, ns, "", fmt.Sprintf("applyTo: NETWORK_FILTER\n    match: {context: SIDECAR_OUTBOUND, listener: {filterChain: {filter: {name: %s}}}}\n"+
			"    patch: {operation: MERGE, value: {typed_config: {\"@type\": %snetwork.http_connection_manager.v3.HttpConnectionManager, stream_idle_timeout: 90s}}}",
			managerFilter, types))
	case 3:
		envoyFilter(b, name, ns, selector, fmt.Sprintf("applyTo: VIRTUAL_HOST\n    match: {context: SIDECAR_OUTBOUND, routeConfiguration: {vhost: {name: \"%s:%d\"}}}\n"+
			"    patch: {operation: MERGE, value: {request_headers_to_add: [{header: {key: x-client, value: %s}}]}}",
			m.Host(service), HTTPPort, ns))
	case 4:
		gateway := GatewayNamespace(i % m.spec.Gateways.Count)
		envoyFilter(b, name, gateway, fmt.Sprintf("  workloadSelector: {labels: {istio: %s}}\n", gateway), lua("GATEWAY", 0))
	}
}

func envoyFilter(b *bytes.Buffer, name, namespace, selector, patch string) {
	document(b, "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: %s, namespace: %s}\nspec:\n%s  configPatches:\n  - %s",
		name, namespace, selector, patch)
}

// lua inserts a script before the router; another generation is another script.
func lua(side string, generation int) string {
	return fmt.Sprintf("applyTo: HTTP_FILTER\n    match: {context: %s, listener: {filterChain: {filter: {name: %s, subFilter: {name: envoy.filters.http.router}}}}}\n"+
		"    patch: {operation: INSERT_BEFORE, value: {name: envoy.filters.http.lua, typed_config: {\"@type\": %shttp.lua.v3.Lua, "+
		"default_source_code: {inline_string: \"function envoy_on_response(h) h:headers():add('x-script', '%d') end\"}}}}",
		side, managerFilter, types, generation)
}

// timeout patches the cluster of a service.
func (m *Mesh) timeout(service, generation int) string {
	return fmt.Sprintf("applyTo: CLUSTER\n    match: {context: SIDECAR_OUTBOUND, cluster: {service: %s}}\n"+
		"    patch: {operation: MERGE, value: {connect_timeout: %.3fs}}", m.Host(service), 3+float64(generation)/1000)
}
