package explain

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
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
		if f.GetDisabled() || !f.GetTypedConfig().MessageIs(m) || f.GetTypedConfig().UnmarshalTo(m) != nil {
			continue
		}
		check := authz.ReadTokens(m)
		if len(x.request.Claims) == 0 {
			if !x.checkForm(f.GetName(), check) {
				return false
			}
			continue
		}
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

// malformed is Envoy's answer to a token that is none.
const malformed = "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"

// checkForm looks at the form of the tokens that the request itself has. Their signatures are not followed.
func (x *exchange) checkForm(name string, check *ir.TokenCheck) (on bool) {
	for _, p := range check.Providers {
		for place, token := range x.tokensFor(p) {
			switch {
			case strings.Count(token, ".") == 2:
				x.unverified(name, fmt.Sprintf("the token in %s is verified, which is not followed here: it may be refused; --claim gives the claims of a valid one", place))
				return true
			case check.Lenient:
				x.step(StageFilter, name, fmt.Sprintf("the token in %s is no JWT; so it counts as none", place), nil)
				return true
			}
			reason := fmt.Sprintf("the token in %s is no JWT, which has three parts with dots between", place)
			x.refused(http.StatusUnauthorized, "", reason)
			x.answer.Outcome.Body = malformed
			x.stepOf(StagePolicy, "", fmt.Sprintf("answers %d: %s", http.StatusUnauthorized, malformed), x.askedBy(x.TokensBy, p.Issuer), reason)
			return false
		}
	}
	return true
}

// tokensFor gives what the request has where a provider looks for tokens, by the place.
func (x *exchange) tokensFor(p ir.TokenProvider) iter.Seq2[string, string] {
	headers, params := p.FromHeaders, p.FromParams
	if len(headers)+len(params)+len(p.FromCookies) == 0 {
		headers, params = []ir.TokenHeader{{Name: "Authorization", Prefix: "Bearer "}}, []string{"access_token"}
	}
	return func(yield func(string, string) bool) {
		for _, h := range headers {
			_, token, ok := strings.Cut(x.headers[strings.ToLower(h.Name)], h.Prefix)
			if ok && token != "" && !yield("header "+h.Name, token) {
				return
			}
		}
		_, query, _ := strings.Cut(x.path, "?")
		asked, _ := url.ParseQuery(query)
		for _, name := range params {
			if token := asked.Get(name); token != "" && !yield("parameter "+name, token) {
				return
			}
		}
		cookies, _ := http.ParseCookie(x.headers["cookie"])
		for _, c := range cookies {
			if slices.Contains(p.FromCookies, c.Name) && c.Value != "" && !yield("cookie "+c.Name, c.Value) {
				return
			}
		}
	}
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
