package patch

import (
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
)

// matchClass is what a match is about.
type matchClass string

const (
	matchListener matchClass = "listener"
	matchRoute    matchClass = "route configuration"
	matchCluster  matchClass = "cluster"
)

// kind is what a patch may be applied to.
type kind struct {
	match      matchClass
	message    func() proto.Message // of the value
	operations []networking.EnvoyFilter_Patch_Operation
}

// Operations, by their short names.
const (
	opMerge   = networking.EnvoyFilter_Patch_MERGE
	opAdd     = networking.EnvoyFilter_Patch_ADD
	opRemove  = networking.EnvoyFilter_Patch_REMOVE
	opBefore  = networking.EnvoyFilter_Patch_INSERT_BEFORE
	opAfter   = networking.EnvoyFilter_Patch_INSERT_AFTER
	opFirst   = networking.EnvoyFilter_Patch_INSERT_FIRST
	opReplace = networking.EnvoyFilter_Patch_REPLACE
)

type operations = []networking.EnvoyFilter_Patch_Operation

// kinds are what patches are applied to, each with the operations that Istio documents for it.
var kinds = map[networking.EnvoyFilter_ApplyTo]kind{
	networking.EnvoyFilter_LISTENER:            {matchListener, func() proto.Message { return &listenerv3.Listener{} }, operations{opMerge, opAdd, opRemove}},
	networking.EnvoyFilter_FILTER_CHAIN:        {matchListener, func() proto.Message { return &listenerv3.FilterChain{} }, operations{opMerge, opAdd, opRemove}},
	networking.EnvoyFilter_LISTENER_FILTER:     {matchListener, func() proto.Message { return &listenerv3.ListenerFilter{} }, operations{opMerge, opAdd, opRemove, opBefore, opAfter, opFirst, opReplace}},
	networking.EnvoyFilter_NETWORK_FILTER:      {matchListener, func() proto.Message { return &listenerv3.Filter{} }, operations{opMerge, opAdd, opRemove, opBefore, opAfter, opFirst, opReplace}},
	networking.EnvoyFilter_HTTP_FILTER:         {matchListener, func() proto.Message { return &hcm.HttpFilter{} }, operations{opMerge, opAdd, opRemove, opBefore, opAfter, opFirst, opReplace}},
	networking.EnvoyFilter_ROUTE_CONFIGURATION: {matchRoute, func() proto.Message { return &routev3.RouteConfiguration{} }, operations{opMerge}},
	networking.EnvoyFilter_VIRTUAL_HOST:        {matchRoute, func() proto.Message { return &routev3.VirtualHost{} }, operations{opMerge, opAdd, opRemove, opReplace}},
	networking.EnvoyFilter_HTTP_ROUTE:          {matchRoute, func() proto.Message { return &routev3.Route{} }, operations{opMerge, opAdd, opRemove, opBefore, opAfter, opFirst}},
	networking.EnvoyFilter_CLUSTER:             {matchCluster, func() proto.Message { return &clusterv3.Cluster{} }, operations{opMerge, opAdd, opRemove}},
	networking.EnvoyFilter_BOOTSTRAP:           {"", func() proto.Message { return &bootstrapv3.Bootstrap{} }, operations{opMerge}},
	networking.EnvoyFilter_EXTENSION_CONFIG:    {"", func() proto.Message { return &core.TypedExtensionConfig{} }, operations{opAdd}},
}
