package envoy

import (
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/matcher/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	codec "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/upstream_codec/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	upstreams "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// httpProtocolOptions is the key of a cluster's HTTP settings.
const httpProtocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// defaultConcurrentStreams is Istio's: only circuit breakers limit the requests on a connection.
const defaultConcurrentStreams = 1 << 30

// httpUpstream sets how HTTP is spoken to a cluster, without some headers, and which answers are errors. Envoy's defaults
// (HTTP/1.1, nothing set) need no options.
func httpUpstream(c *ir.Cluster, out *clusterv3.Cluster) {
	h, errors := c.HTTP, errorStatuses(c.Outlier)
	if h == (ir.HTTPUpstream{}) && len(c.RemoveHeaders) == 0 && errors == nil {
		return
	}
	options := &upstreams.HttpProtocolOptions{
		CommonHttpProtocolOptions: commonHTTP(h), HttpFilters: withoutHeaders(c.RemoveHeaders), OutlierDetection: errors,
	}
	switch h.Version {
	case ir.UpstreamHTTP2:
		options.UpstreamProtocolOptions = explicit(&upstreams.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &upstreams.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: http2(h)},
		})
	case ir.UpstreamDownstream:
		options.UpstreamProtocolOptions = &upstreams.HttpProtocolOptions_UseDownstreamProtocolConfig{
			UseDownstreamProtocolConfig: &upstreams.HttpProtocolOptions_UseDownstreamHttpConfig{
				HttpProtocolOptions:  &core.Http1ProtocolOptions{HeaderKeyFormat: headerCase(h.KeepCase)},
				Http2ProtocolOptions: http2(h),
			},
		}
	default:
		options.UpstreamProtocolOptions = explicit(&upstreams.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &upstreams.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &core.Http1ProtocolOptions{HeaderKeyFormat: headerCase(h.KeepCase)}},
		})
	}
	if h.AutoSNI || h.AutoSAN {
		options.UpstreamHttpProtocolOptions = &core.UpstreamHttpProtocolOptions{AutoSni: h.AutoSNI, AutoSanValidation: h.AutoSAN}
	}
	out.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpProtocolOptions: Any(options)}
}

// withoutHeaders gives a cluster's filters, the last of which has to be the codec; nil for Envoy's own.
func withoutHeaders(names []string) []*hcm.HttpFilter {
	if len(names) == 0 {
		return nil
	}
	return []*hcm.HttpFilter{
		HTTPFilter(ir.HeaderRemoval{Headers: names}),
		{Name: "envoy.filters.http.upstream_codec", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: Any(&codec.UpstreamCodec{})}},
	}
}

func explicit(c *upstreams.HttpProtocolOptions_ExplicitHttpConfig) *upstreams.HttpProtocolOptions_ExplicitHttpConfig_ {
	return &upstreams.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: c}
}

func commonHTTP(h ir.HTTPUpstream) *core.HttpProtocolOptions {
	if h.IdleTimeout == nil && h.MaxConnectionDuration == 0 && h.MaxRequestsPerConnection == 0 {
		return nil
	}
	out := &core.HttpProtocolOptions{MaxConnectionDuration: positive(h.MaxConnectionDuration)}
	if h.IdleTimeout != nil {
		out.IdleTimeout = durationpb.New(*h.IdleTimeout)
	}
	if h.MaxRequestsPerConnection > 0 {
		out.MaxRequestsPerConnection = wrapperspb.UInt32(h.MaxRequestsPerConnection)
	}
	return out
}

func http2(h ir.HTTPUpstream) *core.Http2ProtocolOptions {
	streams := h.MaxConcurrentStreams
	if streams == 0 {
		streams = defaultConcurrentStreams
	}
	out := &core.Http2ProtocolOptions{MaxConcurrentStreams: wrapperspb.UInt32(streams)}
	if h.KeepaliveInterval > 0 {
		out.ConnectionKeepalive = &core.KeepaliveSettings{
			Interval: durationpb.New(h.KeepaliveInterval), Timeout: durationpb.New(h.KeepaliveTimeout),
		}
	}
	return out
}

// errorStatuses says which statuses of responses count against a host; nil for Envoy's own.
func errorStatuses(o *ir.OutlierDetection) *upstreams.HttpProtocolOptions_OutlierDetection {
	if o == nil || len(o.HTTPErrors) == 0 {
		return nil
	}
	var rules []*matcherv3.MatchPredicate
	for _, status := range o.HTTPErrors {
		rules = append(rules, &matcherv3.MatchPredicate{Rule: &matcherv3.MatchPredicate_HttpResponseHeadersMatch{
			HttpResponseHeadersMatch: &matcherv3.HttpHeadersMatch{Headers: []*routev3.HeaderMatcher{{
				Name: ":status",
				HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcher.StringMatcher{
					MatchPattern: &matcher.StringMatcher_Exact{Exact: strconv.FormatUint(uint64(status), 10)},
				}},
			}}},
		}})
	}
	if len(rules) == 1 {
		return &upstreams.HttpProtocolOptions_OutlierDetection{ErrorMatcher: rules[0]}
	}
	return &upstreams.HttpProtocolOptions_OutlierDetection{ErrorMatcher: &matcherv3.MatchPredicate{
		Rule: &matcherv3.MatchPredicate_OrMatch{OrMatch: &matcherv3.MatchPredicate_MatchSet{Rules: rules}},
	}}
}
