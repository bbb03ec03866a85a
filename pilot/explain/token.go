package explain

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	jwt "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// checkToken passes the filter that checks tokens before the route is chosen: it has Envoy choose anew when it has
// found one valid. The request's token is signed right and in time; its issuer and audience are looked at.
func (x *exchange) checkToken() (on bool) {
	for _, f := range x.manager.GetHttpFilters() {
		m := &jwt.JwtAuthentication{}
		if len(x.request.Claims) == 0 || f.GetDisabled() || !f.GetTypedConfig().MessageIs(m) || f.GetTypedConfig().UnmarshalTo(m) != nil {
			continue
		}
		check := authz.ReadTokens(m)
		tokens := authz.Tokens(check.Providers)
		claims := tokens.Complete(x.request.Claims)
		var refused *authz.Disbelief
		if claims["iss"] != nil { // else it may be of any
			errors.As(tokens.Believed(claims), &refused)
		}
		switch {
		case refused == nil:
			x.believe(f.GetName(), check, tokens.Noted(claims))
		case check.Lenient:
			x.step(StageFilter, f.GetName(), refused.Error()+"; so the token counts as none", nil)
		default:
			x.refused(refused.Status, "", refused.Error())
			x.answer.Outcome.Body = refused.Body
			issuer, _ := claims["iss"].(string)
			x.stepOf(StagePolicy, "", fmt.Sprintf("answers %d: %s", refused.Status, refused.Body), x.askedBy(x.TokensBy, issuer), refused.Error())
			return false
		}
	}
	return true
}

// believe notes the claims of a valid token for what comes after.
func (x *exchange) believe(name string, check *ir.TokenCheck, claims map[string]any) {
	of := func(p ir.TokenProvider) bool { return claims["iss"] == nil || p.Issuer == claims["iss"] }
	noted := slices.ContainsFunc(check.Providers, func(p ir.TokenProvider) bool { return of(p) && p.Metadata == ir.TokenPayload })
	x.tokenSpent = !slices.ContainsFunc(check.Providers, func(p ir.TokenProvider) bool { return of(p) && p.Forward })
	if noted {
		x.valid = claims
	}
	if !noted || !check.Reroute {
		x.step(StageFilter, name, "finds the token valid", nil)
		return
	}
	x.claims = map[string]any{ir.TokenPayload: claims}
	x.step(StageFilter, name, "finds the token valid, so that routes may ask for its claims", nil)
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
