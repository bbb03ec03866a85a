package random

import "fmt"

// envoyFilter patches what others make: of all proxies, of a namespace or of some of its workloads.
func (e *editor) envoyFilter() string {
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
%s
spec:%s%s
  configPatches: [%s]`, e.metadata(fmt.Sprintf("f%d", e.rng.IntN(3)), e.anyNamespace()),
		e.one("", "", "\n  workloadSelector: {labels: {app: s0}}", "\n  workloadSelector: {labels: {version: v1}}"),
		e.one("", "\n  priority: -1", "\n  priority: 5"), e.some(2, e.patches()...))
}

func (e *editor) patches() []string {
	service := e.service() + "." + e.namespace() + ".svc.cluster.local"
	cluster := e.one("", fmt.Sprintf("match: {cluster: {service: %s}}, ", service), fmt.Sprintf("match: {context: SIDECAR_OUTBOUND, cluster: {service: %s, portNumber: 80}}, ", service))
	vhost := e.one("", fmt.Sprintf("match: {routeConfiguration: {vhost: {name: '%s:80'}}}, ", service), "match: {context: GATEWAY, routeConfiguration: {name: http.80}}, ")
	manager := "filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}"
	listener := e.one("match: {listener: {"+manager+"}}, ", "match: {context: SIDECAR_OUTBOUND, listener: {portNumber: 80, "+manager+"}}, ",
		"match: {context: SIDECAR_INBOUND, listener: {"+manager+"}}, ")
	n := 1 + e.rng.IntN(5)
	return []string{
		fmt.Sprintf("{applyTo: CLUSTER, %spatch: {operation: MERGE, value: {connect_timeout: %ds}}}", cluster, n),
		"{applyTo: CLUSTER, " + cluster + "patch: {operation: MERGE, value: {connect_timeout: -1s}}}", // forbidden
		fmt.Sprintf("{applyTo: CLUSTER, patch: {operation: ADD, value: {name: extra, connect_timeout: %ds, type: STATIC}}}", n),
		fmt.Sprintf("{applyTo: VIRTUAL_HOST, %spatch: {operation: MERGE, value: {request_headers_to_remove: [x-%d]}}}", vhost, n),
		fmt.Sprintf("{applyTo: VIRTUAL_HOST, %spatch: {operation: ADD, value: {name: more, domains: [more.example.com, '%s'], routes: [{match: {prefix: /}, direct_response: {status: 20%d}}]}}}", vhost, service, n),
		fmt.Sprintf("{applyTo: HTTP_ROUTE, %spatch: {operation: MERGE, value: {response_headers_to_remove: [x-%d]}}}", vhost, n),
		fmt.Sprintf("{applyTo: ROUTE_CONFIGURATION, %spatch: {operation: MERGE, value: {request_headers_to_remove: [y-%d]}}}", vhost, n),
		fmt.Sprintf("{applyTo: HTTP_FILTER, %spatch: {operation: INSERT_FIRST, value: {name: envoy.filters.http.buffer, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: %d000}}}}", listener, n),
		fmt.Sprintf("{applyTo: NETWORK_FILTER, %spatch: {operation: MERGE, value: {typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, max_requests_per_connection: %d}}}}", listener, n),
	}
}
