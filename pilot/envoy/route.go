package envoy

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// RouteConfig gives the message for a route configuration.
func RouteConfig(rc *ir.RouteConfig) *routev3.RouteConfiguration {
	return &routev3.RouteConfiguration{Name: rc.Name}
}
