package explain

import (
	"fmt"
	"slices"
	"strings"

	jwt "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// checkToken passes the filter that checks tokens before the route is chosen: it has Envoy choose anew when it has
// found one valid. The request's token is signed right and in time; its issuer is looked at where it names one.
func (x *exchange) checkToken() (on bool) {
	for _, f := range x.manager.GetHttpFilters() {
		check := &jwt.JwtAuthentication{}
		if len(x.request.Claims) == 0 || f.GetDisabled() || !f.GetTypedConfig().MessageIs(check) || f.GetTypedConfig().UnmarshalTo(check) != nil {
			continue
		}
		issuer, named := x.request.Claims["iss"].(string)
		var known, noted bool
		for _, p := range check.GetProviders() {
			if !named || p.GetIssuer() == issuer {
				known, noted = true, noted || p.GetClearRouteCache() && p.GetPayloadInMetadata() != ""
			}
		}
		switch {
		case known && noted:
			x.claims = map[string]any{"payload": x.request.Claims}
			x.step(StageFilter, f.GetName(), "finds the token valid, so that routes may ask for its claims", nil)
		case known:
			x.step(StageFilter, f.GetName(), "finds the token valid", nil)
		case lenient(check):
			x.step(StageFilter, f.GetName(), fmt.Sprintf("knows no issuer %q, so the token counts as none", issuer), nil)
		default:
			x.refused(401, "", fmt.Sprintf("no RequestAuthentication knows the token's issuer %q", issuer))
			x.step(StageFilter, f.GetName(), x.answer.Outcome.Reason, nil)
			return false
		}
	}
	return true
}

// lenient tells whether a request passes whose token is not valid.
func lenient(check *jwt.JwtAuthentication) bool {
	return slices.ContainsFunc(check.GetRules(), func(r *jwt.RequirementRule) bool {
		return slices.ContainsFunc(r.GetRequires().GetRequiresAny().GetRequirements(), func(q *jwt.JwtRequirement) bool {
			return q.GetAllowMissingOrFailed() != nil
		})
	})
}

// noted gives what a condition on a claim asks for, nil for none.
func (x *exchange) noted(m *matcher.MetadataMatcher) any {
	var value any = x.claims
	for _, segment := range m.GetPath() {
		object, _ := value.(map[string]any)
		value = object[segment.GetKey()]
	}
	return value
}

// claimMatches compares a claim: a text, or a list of which one is asked for.
func claimMatches(m *matcher.ValueMatcher, value any) bool {
	switch p := m.GetMatchPattern().(type) {
	case *matcher.ValueMatcher_PresentMatch:
		return (value != nil) == p.PresentMatch
	case *matcher.ValueMatcher_StringMatch:
		text, ok := value.(string)
		return ok && stringMatches(p.StringMatch, text)
	case *matcher.ValueMatcher_OrMatch:
		return slices.ContainsFunc(p.OrMatch.GetValueMatchers(), func(m *matcher.ValueMatcher) bool { return claimMatches(m, value) })
	case *matcher.ValueMatcher_ListMatch:
		list, _ := value.([]any)
		return slices.ContainsFunc(list, func(item any) bool { return claimMatches(p.ListMatch.GetOneOf(), item) })
	}
	return false
}

// describeClaim says a condition in the words of a VirtualService.
func describeClaim(m *matcher.MetadataMatcher) string {
	var names []string
	for _, s := range m.GetPath()[min(1, len(m.GetPath())):] {
		names = append(names, s.GetKey())
	}
	not := ""
	if m.GetInvert() {
		not = "not "
	}
	asked := "present"
	for _, v := range append(m.GetValue().GetOrMatch().GetValueMatchers(), m.GetValue()) {
		if v.GetStringMatch() != nil {
			asked = describeString(v.GetStringMatch())
			break
		}
	}
	return "claim " + strings.Join(names, ".") + ": " + not + asked
}
