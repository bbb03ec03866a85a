package envoy

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
)

// RouteConfig gives the message for a route configuration.
func RouteConfig(rc *ir.RouteConfig) *routev3.RouteConfiguration {
	out := &routev3.RouteConfiguration{
		Name:                     rc.Name,
		ValidateClusters:         wrapperspb.Bool(false),
		IgnorePortInHostMatching: !ir.ProxyRoutes(rc.Name),
		// Envoy refuses a direct response with more than 4 KiB unless told how much to expect.
		MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(ir.MaxDirectResponse),
		ResponseHeadersToRemove:        rc.RemoveFromResponses,
	}
	for _, vh := range rc.VirtualHosts {
		out.VirtualHosts = append(out.VirtualHosts, VirtualHost(vh))
	}
	return out
}

// VirtualHost gives the message for one virtual host of a route configuration.
func VirtualHost(vh *ir.VirtualHost) *routev3.VirtualHost {
	out := &routev3.VirtualHost{
		Name: vh.Name, Domains: vh.Domains, IncludeRequestAttemptCount: vh.AttemptCount,
	}
	if vh.Alternative != "" {
		out.ResponseHeadersToAdd = headersToAdd(ir.HeaderOperation{Set: []ir.Header{{Name: "alt-svc", Value: vh.Alternative}}})
	}
	if vh.RequireTLS {
		out.RequireTls = routev3.VirtualHost_ALL
	}
	for _, r := range vh.Routes {
		out.Routes = append(out.Routes, route(r))
	}
	return out
}

func route(r *ir.Route) *routev3.Route {
	out := &routev3.Route{
		Name: r.Name, Match: routeMatch(r.Match), Metadata: routeMetadata(r), StatPrefix: r.StatPrefix,
		RequestHeadersToAdd: headersToAdd(r.Headers.Request), RequestHeadersToRemove: r.Headers.Request.Remove,
		ResponseHeadersToAdd: headersToAdd(r.Headers.Response), ResponseHeadersToRemove: r.Headers.Response.Remove,
		TypedPerFilterConfig: perRoute(r),
	}
	if r.Operation != "" {
		out.Decorator = &routev3.Decorator{Operation: r.Operation}
	}
	switch {
	case r.Redirect != nil:
		out.Action = redirect(r.Redirect)
	case r.Direct != nil:
		out.Action = directResponse(r.Direct)
	case r.Forward != nil:
		out.Action = &routev3.Route_Route{Route: routeAction(r.Forward)}
	}
	return out
}

func perRoute(r *ir.Route) map[string]*anypb.Any {
	dynamic := r.Forward != nil && len(r.Forward.Clusters) == 1 && r.Forward.Clusters[0].DynamicPort != 0
	if r.CORS == nil && r.Fault == nil && !dynamic {
		return nil
	}
	out := map[string]*anypb.Any{}
	if dynamic {
		out[filterDynamicTarget] = Any(dynamicTarget(r.Forward.Clusters[0].DynamicPort))
	}
	if r.CORS != nil {
		out[httpfilter.CORS] = Any(corsPolicy(r.CORS))
	}
	if r.Fault != nil {
		out[httpfilter.Fault] = Any(httpFault(r.Fault))
	}
	return out
}

func routeMatch(m ir.RouteMatch) *routev3.RouteMatch {
	out := &routev3.RouteMatch{}
	switch m.Path.Kind {
	case ir.MatchPresent:
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "/"}
	case ir.MatchExact:
		out.PathSpecifier = &routev3.RouteMatch_Path{Path: m.Path.Value}
	case ir.MatchPrefix:
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: m.Path.Value}
	case ir.MatchRegex:
		out.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: regex(m.Path.Value)}
	}
	if m.Path.IgnoreCase {
		out.CaseSensitive = wrapperspb.Bool(false)
	}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, headerMatch(h))
	}
	for _, q := range m.Query {
		out.QueryParameters = append(out.QueryParameters, queryMatch(q))
	}
	for _, c := range m.Claims {
		claim := metadataMatch(ir.RequestMetadata{Filter: httpfilter.JWT, Path: append([]string{ir.TokenPayload}, c.Path...), Value: c.Value, List: true})
		claim.Invert = c.Invert
		out.DynamicMetadata = append(out.DynamicMetadata, claim)
	}
	return out
}

// headerMatch, inverted, holds for a missing header too: it has not got the value.
func headerMatch(h ir.HeaderMatch) *routev3.HeaderMatcher {
	out := &routev3.HeaderMatcher{Name: h.Name, InvertMatch: h.Invert}
	if h.Value.Kind == ir.MatchPresent {
		out.HeaderMatchSpecifier = &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}
		return out
	}
	out.TreatMissingHeaderAsEmpty = h.Invert
	out.HeaderMatchSpecifier = &routev3.HeaderMatcher_StringMatch{StringMatch: stringMatch(h.Value)}
	return out
}

func queryMatch(q ir.QueryMatch) *routev3.QueryParameterMatcher {
	out := &routev3.QueryParameterMatcher{Name: q.Name}
	if q.Value.Kind == ir.MatchPresent {
		out.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_PresentMatch{PresentMatch: true}
		return out
	}
	out.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_StringMatch{StringMatch: stringMatch(q.Value)}
	return out
}

// stringMatch gives a matcher of a value; MatchPresent becomes a pattern for anything.
func stringMatch(m ir.StringMatch) *matcher.StringMatcher {
	out := &matcher.StringMatcher{IgnoreCase: m.IgnoreCase}
	switch m.Kind {
	case ir.MatchExact:
		out.MatchPattern = &matcher.StringMatcher_Exact{Exact: m.Value}
	case ir.MatchPrefix:
		out.MatchPattern = &matcher.StringMatcher_Prefix{Prefix: m.Value}
	case ir.MatchSuffix:
		out.MatchPattern = &matcher.StringMatcher_Suffix{Suffix: m.Value}
	case ir.MatchRegex:
		out.MatchPattern = &matcher.StringMatcher_SafeRegex{SafeRegex: regex(m.Value)}
	case ir.MatchPresent:
		out.MatchPattern = &matcher.StringMatcher_SafeRegex{SafeRegex: regex(".*")}
	}
	return out
}

// regex needs no engine: RE2 is Envoy's default and the field that names it is deprecated.
func regex(pattern string) *matcher.RegexMatcher { return &matcher.RegexMatcher{Regex: pattern} }

func headersToAdd(op ir.HeaderOperation) []*core.HeaderValueOption {
	var out []*core.HeaderValueOption
	add := func(hs []ir.Header, action core.HeaderValueOption_HeaderAppendAction) {
		for _, h := range hs {
			out = append(out, &core.HeaderValueOption{
				Header:       &core.HeaderValue{Key: h.Name, Value: h.Value},
				AppendAction: action,
			})
		}
	}
	add(op.Set, core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
	add(op.Add, core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
	return out
}

// routeMetadata adds to configMetadata what requests are counted for that go nowhere.
func routeMetadata(r *ir.Route) *core.Metadata {
	out := configMetadata(r.Config)
	if r.Destination == "" {
		return out
	}
	if out == nil {
		out = &core.Metadata{FilterMetadata: map[string]*structpb.Struct{istioMetadata: {Fields: map[string]*structpb.Value{}}}}
	}
	out.FilterMetadata[istioMetadata].Fields["destination"] = structpb.NewStringValue(r.Destination)
	return out
}

// configMetadata tells tools which object a resource came from.
func configMetadata(path string) *core.Metadata {
	if path == "" {
		return nil
	}
	return &core.Metadata{FilterMetadata: map[string]*structpb.Struct{
		"istio": {Fields: map[string]*structpb.Value{"config": structpb.NewStringValue(path)}},
	}}
}
