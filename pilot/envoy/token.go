package envoy

import (
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	jwt "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

func tokenCheck(t *ir.TokenCheck) *jwt.JwtAuthentication {
	out := &jwt.JwtAuthentication{Providers: map[string]*jwt.JwtProvider{}, BypassCorsPreflight: true}
	for i := range t.Providers {
		p := tokenProvider(&t.Providers[i])
		p.ClearRouteCache = t.Reroute
		out.Providers[t.Providers[i].Name] = p
	}
	out.Rules = []*jwt.RequirementRule{{
		Match:           &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		RequirementType: &jwt.RequirementRule_Requires{Requires: tokenRequirement(t)},
	}}
	return out
}

// tokenRequirement asks that one provider finds its token good, or that each finds it good or none. The
// former is for providers that look in the same place, each of which fails for the tokens of others.
func tokenRequirement(t *ir.TokenCheck) *jwt.JwtRequirement {
	providers := t.Providers
	anyOf := func(all ...*jwt.JwtRequirement) *jwt.JwtRequirement {
		return &jwt.JwtRequirement{RequiresType: &jwt.JwtRequirement_RequiresAny{RequiresAny: &jwt.JwtRequirementOrList{Requirements: all}}}
	}
	missing := &jwt.JwtRequirement{RequiresType: &jwt.JwtRequirement_AllowMissing{AllowMissing: &emptypb.Empty{}}}
	var good, each []*jwt.JwtRequirement
	for i := range providers {
		p := &jwt.JwtRequirement{RequiresType: &jwt.JwtRequirement_ProviderName{ProviderName: providers[i].Name}}
		good = append(good, p)
		each = append(each, anyOf(p, missing))
	}
	if t.Lenient {
		failed := &jwt.JwtRequirement{RequiresType: &jwt.JwtRequirement_AllowMissingOrFailed{AllowMissingOrFailed: &emptypb.Empty{}}}
		return anyOf(append(good, failed)...)
	}
	if len(each) == 1 {
		return each[0]
	}
	all := &jwt.JwtRequirement{RequiresType: &jwt.JwtRequirement_RequiresAll{RequiresAll: &jwt.JwtRequirementAndList{Requirements: each}}}
	return anyOf(append(good, all)...)
}

func tokenProvider(p *ir.TokenProvider) *jwt.JwtProvider {
	out := &jwt.JwtProvider{
		Issuer: p.Issuer, Audiences: p.Audiences, Forward: p.Forward, FromParams: p.FromParams, FromCookies: p.FromCookies,
		ForwardPayloadHeader: p.PayloadHeader, PayloadInMetadata: p.Metadata,
		JwksSourceSpecifier:        &jwt.JwtProvider_LocalJwks{LocalJwks: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: p.Keys}}},
		NormalizePayloadInMetadata: &jwt.JwtProvider_NormalizePayload{SpaceDelimitedClaims: p.SpaceDelimited},
	}
	for _, h := range p.FromHeaders {
		out.FromHeaders = append(out.FromHeaders, &jwt.JwtHeader{Name: h.Name, ValuePrefix: h.Prefix})
	}
	for _, c := range p.ClaimHeaders {
		out.ClaimToHeaders = append(out.ClaimToHeaders, &jwt.JwtClaimToHeader{HeaderName: strings.ToLower(c.Header), ClaimName: c.Claim})
	}
	return out
}
