package envoy

import (
	"slices"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushosts "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	previouspriorities "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

func routeAction(f *ir.Forward) *routev3.RouteAction {
	timeout := durationpb.New(f.Timeout)
	out := &routev3.RouteAction{
		Timeout: timeout,
		// The grpc-timeout header counts within the route's timeout. The newer max_stream_duration
		// would make Envoy ignore the timeout itself.
		//lint:ignore SA1019 see above
		MaxGrpcTimeout: timeout,
		RetryPolicy:    retryPolicy(f.Retry),
		PrefixRewrite:  f.PrefixRewrite,

		AppendXForwardedHost: f.ForwardedHost,
	}
	if f.RegexRewrite != nil {
		out.RegexRewrite = &matcher.RegexMatchAndSubstitute{
			Pattern: regex(f.RegexRewrite.Pattern), Substitution: f.RegexRewrite.Substitution,
		}
	}
	setClusters(out, f)
	if f.Authority != "" {
		out.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: f.Authority}
	}
	for _, m := range f.Mirrors {
		out.RequestMirrorPolicies = append(out.RequestMirrorPolicies, &routev3.RouteAction_RequestMirrorPolicy{
			Cluster:         m.Cluster,
			RuntimeFraction: &core.RuntimeFractionalPercent{DefaultValue: fraction(m.Share)},
			TraceSampled:    wrapperspb.Bool(false),
			// The copy has the host of the original, or a mirror with routes of its own would not know it.
			DisableShadowHostSuffixAppend: true,
		})
	}
	if f.Sticky != nil {
		sticky := hashPolicy(*f.Sticky)
		sticky.Terminal = true // other policies would change what the request is split by
		out.HashPolicy = append(out.HashPolicy, sticky)
	}
	for _, h := range f.Hash {
		out.HashPolicy = append(out.HashPolicy, hashPolicy(h))
	}
	return out
}

// setClusters names a lone cluster directly, but for one with headers of its own.
func setClusters(a *routev3.RouteAction, f *ir.Forward) {
	clusters := f.Clusters
	if len(clusters) == 1 && !changesRequest(clusters[0]) {
		a.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: clusters[0].Name}
		return
	}
	weighted := &routev3.WeightedCluster{}
	if f.Sticky != nil {
		weighted.RandomValueSpecifier = &routev3.WeightedCluster_UseHashPolicy{UseHashPolicy: wrapperspb.Bool(true)}
	}
	for _, c := range clusters {
		w := &routev3.WeightedCluster_ClusterWeight{
			Name:                    c.Name,
			Weight:                  wrapperspb.UInt32(c.Weight),
			RequestHeadersToAdd:     headersToAdd(c.Headers.Request),
			RequestHeadersToRemove:  c.Headers.Request.Remove,
			ResponseHeadersToAdd:    headersToAdd(c.Headers.Response),
			ResponseHeadersToRemove: c.Headers.Response.Remove,
		}
		if c.Authority != "" {
			w.HostRewriteSpecifier = &routev3.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: c.Authority}
		}
		if c.DynamicPort != 0 {
			w.TypedPerFilterConfig = map[string]*anypb.Any{filterDynamicTarget: Any(dynamicTarget(c.DynamicPort))}
		}
		weighted.Clusters = append(weighted.Clusters, w)
	}
	a.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: weighted}
}

func changesRequest(c ir.WeightedCluster) bool {
	empty := func(op ir.HeaderOperation) bool { return len(op.Set)+len(op.Add)+len(op.Remove) == 0 }
	return c.Authority != "" || !empty(c.Headers.Request) || !empty(c.Headers.Response)
}

// hostSelectionAttempts bounds the search for a host that was not tried yet.
const hostSelectionAttempts = 5

func retryPolicy(r *ir.Retry) *routev3.RetryPolicy {
	if r == nil {
		return nil
	}
	out := &routev3.RetryPolicy{
		RetryOn:              strings.Join(r.On, ","),
		NumRetries:           wrapperspb.UInt32(r.Attempts),
		RetriableStatusCodes: r.StatusCodes,
	}
	if r.PerTryTimeout > 0 {
		out.PerTryTimeout = durationpb.New(r.PerTryTimeout)
	}
	if r.BackOff > 0 {
		out.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{BaseInterval: durationpb.New(r.BackOff)}
	}
	if r.AvoidPreviousHosts {
		out.HostSelectionRetryMaxAttempts = hostSelectionAttempts
		out.RetryHostPredicate = []*routev3.RetryPolicy_RetryHostPredicate{{
			Name: "previous", // any name will do, and every route carries it
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{
				TypedConfig: Any(&previoushosts.PreviousHostsPredicate{}),
			},
		}}
	}
	if r.RemoteLocalities {
		out.RetryPriority = &routev3.RetryPolicy_RetryPriority{
			Name: "envoy.retry_priorities.previous_priorities",
			ConfigType: &routev3.RetryPolicy_RetryPriority_TypedConfig{
				TypedConfig: Any(&previouspriorities.PreviousPrioritiesConfig{UpdateFrequency: 2}),
			},
		}
	}
	return out
}

func hashPolicy(h ir.HashPolicy) *routev3.RouteAction_HashPolicy {
	out := &routev3.RouteAction_HashPolicy{}
	switch {
	case h.Header != "":
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_Header_{
			Header: &routev3.RouteAction_HashPolicy_Header{HeaderName: h.Header},
		}
	case h.Cookie != nil:
		cookie := &routev3.RouteAction_HashPolicy_Cookie{Name: h.Cookie.Name, Path: h.Cookie.Path}
		if h.Cookie.TTL != nil {
			cookie.Ttl = durationpb.New(*h.Cookie.TTL)
		}
		for _, a := range h.Cookie.Attributes {
			cookie.Attributes = append(cookie.Attributes, &routev3.RouteAction_HashPolicy_CookieAttribute{Name: a.Name, Value: a.Value})
		}
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_Cookie_{Cookie: cookie}
	case h.QueryParam != "":
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_QueryParameter_{
			QueryParameter: &routev3.RouteAction_HashPolicy_QueryParameter{Name: h.QueryParam},
		}
	default:
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_ConnectionProperties_{
			ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: h.SourceIP},
		}
	}
	return out
}

var redirectCodes = []struct {
	code uint32
	as   routev3.RedirectAction_RedirectResponseCode
}{
	{301, routev3.RedirectAction_MOVED_PERMANENTLY},
	{302, routev3.RedirectAction_FOUND},
	{303, routev3.RedirectAction_SEE_OTHER},
	{307, routev3.RedirectAction_TEMPORARY_REDIRECT},
	{308, routev3.RedirectAction_PERMANENT_REDIRECT},
}

func redirect(r *ir.Redirect) *routev3.Route_Redirect {
	out := &routev3.RedirectAction{HostRedirect: r.Authority, PortRedirect: r.Port}
	for _, c := range redirectCodes {
		if c.code == r.Code {
			out.ResponseCode = c.as
		}
	}
	if r.Scheme != "" {
		out.SchemeRewriteSpecifier = &routev3.RedirectAction_SchemeRedirect{SchemeRedirect: r.Scheme}
	}
	switch {
	case r.Path != "":
		out.PathRewriteSpecifier = &routev3.RedirectAction_PathRedirect{PathRedirect: r.Path}
	case r.PrefixRewrite != "":
		out.PathRewriteSpecifier = &routev3.RedirectAction_PrefixRewrite{PrefixRewrite: r.PrefixRewrite}
	}
	return &routev3.Route_Redirect{Redirect: out}
}

func directResponse(d *ir.DirectResponse) *routev3.Route_DirectResponse {
	out := &routev3.DirectResponseAction{Status: d.Status}
	if len(d.Body) > 0 {
		out.Body = &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: slices.Clone(d.Body)}}
	}
	return &routev3.Route_DirectResponse{DirectResponse: out}
}

func fraction(f ir.Fraction) *typev3.FractionalPercent {
	return &typev3.FractionalPercent{Numerator: uint32(f), Denominator: typev3.FractionalPercent_MILLION}
}

// durationOf gives nil for 0, which stands for "not set".
func durationOf(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}
