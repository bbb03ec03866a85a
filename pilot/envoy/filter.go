package envoy

import (
	"fmt"
	"strconv"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	commonfault "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	setfilterstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	cors "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	fault "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	grpcstats "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	grpcweb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_web/v3"
	headermutation "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	rbachttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	httpfilterstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
)

// Further HTTP filters, named as those of package httpfilter.
const (
	filterState   = "envoy.filters.http.set_filter_state"
	filterGRPCWeb = "envoy.filters.http.grpc_web"
)

func httpFilters(filters []ir.HTTPFilter, elements Elements) []*hcm.HttpFilter {
	out := make([]*hcm.HttpFilter, 0, len(filters))
	for _, f := range filters {
		out = append(out, elements.HTTPFilter(f))
	}
	return out
}

// HTTPFilter gives the message for a filter of an HTTP connection manager.
func HTTPFilter(f ir.HTTPFilter) *hcm.HttpFilter {
	name, config := httpFilter(f)
	return &hcm.HttpFilter{Name: name, ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: Any(config)}, Disabled: onDemand(f)}
}

// onDemand tells whether a filter is for those routes only that have settings for it, for which Envoy makes one then.
func onDemand(f ir.HTTPFilter) bool {
	switch f := f.(type) {
	case ir.GRPCStats:
		return f.OnDemand
	case ir.FaultInjection:
		return f.OnDemand
	case ir.CrossOrigin:
		return f.OnDemand
	}
	return false
}

func httpFilter(f ir.HTTPFilter) (name string, config proto.Message) {
	switch f := f.(type) {
	case *ir.RBAC:
		return httpfilter.RBAC, httpRBAC(f)
	case *ir.ExtAuthz:
		return filterExtAuthz, httpExtAuthz(f)
	case *ir.TokenCheck:
		return httpfilter.JWT, tokenCheck(f)
	case ir.GRPCStats:
		return httpfilter.GRPCStats, &grpcstats.FilterConfig{
			EmitFilterState:        true,
			PerMethodStatSpecifier: &grpcstats.FilterConfig_StatsForAllMethods{StatsForAllMethods: wrapperspb.Bool(false)},
		}
	case ir.GRPCWeb:
		return filterGRPCWeb, &grpcweb.GrpcWeb{}
	case ir.ClusterALPN:
		return filterState, clusterALPN()
	case ir.PeerState:
		return filterState, peerState(f)
	case ir.HeaderRemoval:
		return filterHeaderMutation, &headermutation.HeaderMutation{Mutations: &headermutation.Mutations{RequestMutations: removals(f.Headers)}}
	case ir.PeerHeaders:
		return filterHeaderMutation, peerHeaders(f)
	case ir.FaultInjection:
		return httpfilter.Fault, &fault.HTTPFault{}
	case ir.CrossOrigin:
		return httpfilter.CORS, &cors.Cors{}
	case ir.DynamicTarget:
		return filterDynamicTarget, &httpfilterstate.Config{}
	case ir.DynamicForward:
		return filterDynamicForward, dynamicForward(f)
	case ir.UpstreamGuard:
		return filterUpstreamGuard, &rbachttp.RBAC{Rules: upstreamGuard(f)}
	case ir.Router:
		return httpfilter.Router, &router.Router{SuppressEnvoyHeaders: f.NoDebugHeaders}
	}
	panic(unknownFilter(f))
}

// unknownFilter is what a fault of this program says: the sets of filters are closed, and one that is
// passed over may be the one that lets nobody in.
func unknownFilter(f any) string {
	return fmt.Sprintf("there is no message for filter %T of package ir", f)
}

// clusterALPN takes the protocols that a TLS connection upstream offers from the metadata of the
// cluster which the route chose. A cluster without that metadata keeps its own, and plaintext
// connections are not concerned.
func clusterALPN() *httpfilterstate.Config {
	return &httpfilterstate.Config{OnRequestHeaders: []*setfilterstate.FilterStateValue{{
		Key: &setfilterstate.FilterStateValue_ObjectKey{ObjectKey: "envoy.network.application_protocols"},
		Value: &setfilterstate.FilterStateValue_FormatString{FormatString: &core.SubstitutionFormatString{
			OmitEmptyValues: true,
			Format: &core.SubstitutionFormatString_TextFormatSource{TextFormatSource: &core.DataSource{
				Specifier: &core.DataSource_InlineString{InlineString: "%METADATA(CLUSTER:istio:alpn)%"},
			}},
		}},
		SharedWithUpstream: setfilterstate.FilterStateValue_ONCE,
		SkipIfEmpty:        true,
	}}}
}

func httpFault(f *ir.Fault) *fault.HTTPFault {
	out := &fault.HTTPFault{}
	if f.Delay > 0 {
		out.Delay = &commonfault.FaultDelay{
			FaultDelaySecifier: &commonfault.FaultDelay_FixedDelay{FixedDelay: durationpb.New(f.Delay)},
			Percentage:         fraction(f.DelayShare),
		}
	}
	switch {
	case f.AbortHTTP != 0:
		out.Abort = &fault.FaultAbort{
			ErrorType: &fault.FaultAbort_HttpStatus{HttpStatus: f.AbortHTTP}, Percentage: fraction(f.AbortShare),
		}
	case f.AbortGRPC != nil:
		out.Abort = &fault.FaultAbort{
			ErrorType: &fault.FaultAbort_GrpcStatus{GrpcStatus: *f.AbortGRPC}, Percentage: fraction(f.AbortShare),
		}
	}
	return out
}

func corsPolicy(c *ir.CORS) *cors.CorsPolicy {
	out := &cors.CorsPolicy{
		AllowMethods:  strings.Join(c.Methods, ","),
		AllowHeaders:  strings.Join(c.Headers, ","),
		ExposeHeaders: strings.Join(c.Expose, ","),
		FilterEnabled: &core.RuntimeFractionalPercent{DefaultValue: fraction(ir.FractionAll)},
	}
	for _, o := range c.Origins {
		out.AllowOriginStringMatch = append(out.AllowOriginStringMatch, stringMatch(o))
	}
	if c.MaxAge != nil {
		out.MaxAge = strconv.FormatInt(int64(c.MaxAge.Seconds()), 10)
	}
	if c.Credentials != nil {
		out.AllowCredentials = wrapperspb.Bool(*c.Credentials)
	}
	if c.ForwardUnmatched != nil {
		out.ForwardNotMatchingPreflights = wrapperspb.Bool(*c.ForwardUnmatched)
	}
	return out
}
