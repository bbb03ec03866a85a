// Package httpfilter has the names of Envoy's HTTP filters as the control plane gives them. They are those of Envoy's
// extensions, which EnvoyFilters name, and by which routes have settings for a filter.
package httpfilter

// The filters' names.
const (
	CORS      = "envoy.filters.http.cors"
	Fault     = "envoy.filters.http.fault"
	GRPCStats = "envoy.filters.http.grpc_stats"
	JWT       = "envoy.filters.http.jwt_authn"
	RBAC      = "envoy.filters.http.rbac"
	Router    = "envoy.filters.http.router"
)
