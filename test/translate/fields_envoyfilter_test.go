package translate

// envoyFilterBases patch what each match is about. World's own EnvoyFilter patches one cluster, so that
// priorities matter.
var envoyFilterBases = []string{
	patched(`applyTo: CLUSTER, match: {context: ANY, proxy: {}, cluster: {}}, patch: {operation: MERGE, value: {connect_timeout: 3s}}`),
	`{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw}], ` + patched(`applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: 3s}}`)[1:],
	patched(`applyTo: CLUSTER, patch: {operation: ADD, value: {name: added, connect_timeout: 3s}}`),
	patched(`applyTo: CLUSTER, match: {context: SIDECAR_OUTBOUND, cluster: {}}, patch: {operation: MERGE, value: {preconnect_policy: {per_upstream_preconnect_ratio: 2}}}`),
	patched(`applyTo: LISTENER, match: {listener: {}}, patch: {operation: MERGE, value: {stat_prefix: x}}`),
	patched(`applyTo: LISTENER_FILTER, match: {listener: {listenerFilter: envoy.filters.listener.tls_inspector}}, patch: {operation: REMOVE}`),
	patched(`applyTo: FILTER_CHAIN, match: {listener: {filterChain: {}}}, patch: {operation: MERGE, value: {transport_socket_connect_timeout: 3s}}`),
	patched(`applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}, patch: {operation: MERGE, value: {typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, server_name: x}}}`),
	patched(`applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}, patch: {operation: MERGE, value: {typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, access_log: [{name: x}]}}}`),
	patched(`applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.fault}}}}}, patch: {operation: INSERT_BEFORE, value: {name: added, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 9}}}`),
	patched(`applyTo: ROUTE_CONFIGURATION, match: {routeConfiguration: {}}, patch: {operation: MERGE, value: {request_headers_to_remove: [x]}}`),
	patched(`applyTo: VIRTUAL_HOST, match: {routeConfiguration: {vhost: {}}}, patch: {operation: MERGE, value: {request_headers_to_remove: [x]}}`),
	patched(`applyTo: HTTP_ROUTE, match: {routeConfiguration: {vhost: {route: {}}}}, patch: {operation: MERGE, value: {request_headers_to_remove: [x]}}`),
	patched(`applyTo: ROUTE_CONFIGURATION, match: {context: GATEWAY, routeConfiguration: {}}, patch: {operation: MERGE, value: {request_headers_to_remove: [x]}}`),
	patched(`applyTo: EXTENSION_CONFIG, patch: {operation: ADD, value: {name: added, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 9}}}`),
}

// patched gives an EnvoyFilter of one patch.
func patched(patch string) string { return `{configPatches: [{` + patch + `}]}` }
