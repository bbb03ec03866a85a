package envoy

import (
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	exthttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	extnet "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/ext_authz/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
)

const (
	filterExtAuthz        = "envoy.filters.http.ext_authz"
	filterNetworkExtAuthz = "envoy.filters.network.ext_authz"
)

func httpExtAuthz(f *ir.ExtAuthz) *exthttp.ExtAuthz {
	out := &exthttp.ExtAuthz{
		TransportApiVersion: core.ApiVersion_V3, FailureModeAllow: f.FailOpen, ClearRouteCache: f.ClearRouteCache,
		FilterEnabledMetadata: noted(httpfilter.RBAC, f),
	}
	if f.StatusOnError != 0 {
		out.StatusOnError = &typev3.HttpStatus{Code: typev3.StatusCode(f.StatusOnError)}
	}
	if b := f.Body; b != nil {
		out.WithRequestBody = &exthttp.BufferSettings{MaxRequestBytes: b.MaxBytes, AllowPartialMessage: b.Partial, PackAsBytes: b.Bytes}
	}
	if f.GRPC {
		out.Services = &exthttp.ExtAuthz_GrpcService{GrpcService: extAuthzGRPC(f)}
		return out
	}
	out.AllowedHeaders = matchList(f.HTTP.Asked)
	out.Services = &exthttp.ExtAuthz_HttpService{HttpService: extAuthzHTTP(f)}
	return out
}

func networkExtAuthz(f *ir.ExtAuthz) *extnet.ExtAuthz {
	return &extnet.ExtAuthz{
		StatPrefix: "tcp.", GrpcService: extAuthzGRPC(f), TransportApiVersion: core.ApiVersion_V3, FailureModeAllow: f.FailOpen,
		FilterEnabledMetadata: noted(filterNetworkRBAC, f),
	}
}

// extAuthzGRPC gives the authority a form that is one: the cluster's name, which Envoy would use, is none.
func extAuthzGRPC(f *ir.ExtAuthz) *core.GrpcService {
	return &core.GrpcService{
		TargetSpecifier: &core.GrpcService_EnvoyGrpc_{EnvoyGrpc: &core.GrpcService_EnvoyGrpc{
			ClusterName: f.Cluster, Authority: strings.ReplaceAll(f.Cluster, "|", "_."),
		}},
		Timeout: durationpb.New(f.Timeout),
	}
}

func extAuthzHTTP(f *ir.ExtAuthz) *exthttp.HttpService {
	h := f.HTTP
	out := &exthttp.HttpService{
		PathPrefix: h.PathPrefix,
		ServerUri: &core.HttpUri{
			Uri: "http://" + f.Host, Timeout: durationpb.New(f.Timeout), // Envoy asks for a URI and goes by the cluster
			HttpUpstreamType: &core.HttpUri_Cluster{Cluster: f.Cluster},
		},
	}
	if len(h.Add) > 0 {
		out.AuthorizationRequest = &exthttp.AuthorizationRequest{}
		for _, add := range h.Add {
			out.AuthorizationRequest.HeadersToAdd = append(out.AuthorizationRequest.HeadersToAdd, &core.HeaderValue{Key: add.Name, Value: add.Value})
		}
	}
	if len(h.Upstream)+len(h.Allowed)+len(h.Denied) > 0 {
		out.AuthorizationResponse = &exthttp.AuthorizationResponse{
			AllowedUpstreamHeaders: matchList(h.Upstream), AllowedClientHeaders: matchList(h.Denied),
			AllowedClientHeadersOnSuccess: matchList(h.Allowed),
		}
	}
	return out
}

// noted matches what the RBAC of the provider has noted: which of its rules.
func noted(filter string, f *ir.ExtAuthz) *matcher.MetadataMatcher {
	return metadataMatch(ir.RequestMetadata{
		Filter: filter, Path: []string{f.NotedPrefix + "shadow_effective_policy_id"}, Value: ir.StringMatch{Kind: ir.MatchPrefix, Value: f.RulePrefix},
	})
}

// matchList gives nil for none.
func matchList(list []ir.StringMatch) *matcher.ListStringMatcher {
	if len(list) == 0 {
		return nil
	}
	out := &matcher.ListStringMatcher{}
	for _, m := range list {
		out.Patterns = append(out.Patterns, stringMatch(m))
	}
	return out
}
