package resolve

import (
	"fmt"
	"slices"
	"strings"

	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// nobodysKey stands where keys are not known: nobody has its other half, so every token is refused.
const nobodysKey = `{"keys":[{"kty":"EC","crv":"P-256","kid":"none","x":"tN7k19WXA7HwwS-iALEpqEATS8n2T9PJSmnGM5G-4Sc","y":"B_GdbHJ5CgdvKxlGu9KuD-KdfD7rwi8KKdRhNrJC0JU"}]}`

// delimitedClaims are lists with spaces between by their definition (RFC 8693) or custom.
var delimitedClaims = []string{"scope", "permission"}

// newTokenCheck checks tokens as the RequestAuthentications of a class say, all of them together; nil
// where there is none.
func newTokenCheck(r Reader, c *Class) (*ir.TokenCheck, []model.Problem) {
	providers, problems := tokenProviders(r, attached(r, c, r.RequestAuthentications, c.RequestAuthentications))
	if len(providers) == 0 {
		return nil, nil
	}
	return &ir.TokenCheck{Providers: providers, Reroute: c.Type == model.RouterProxy}, problems
}

// tokenProviders translates RequestAuthentications.
func tokenProviders(r Reader, objects []*model.Object) ([]ir.TokenProvider, []model.Problem) {
	var out []ir.TokenProvider
	var problems []model.Problem
	for _, o := range objects {
		for i, rule := range o.Spec.(*security.RequestAuthentication).GetJwtRules() {
			p := tokenProvider(rule)
			p.Name = fmt.Sprintf("origins-%d", len(out))
			field := fmt.Sprintf("spec.jwtRules[%d]", i)
			if reason := tokenKeys(r, rule, &p); reason != "" {
				problems = append(problems, o.ErrorAt(field, model.ReasonDegraded,
					reason+"; until there are keys every token of the issuer is refused"))
			}
			if p.Issuer == "" {
				p.Keys = nobodysKey // else tokens of every issuer would be good
			}
			out = append(out, p)
		}
	}
	return out, problems
}

// tokenKeys finds the keys of a rule, else says why there are none.
func tokenKeys(r Reader, rule *security.JWTRule, p *ir.TokenProvider) (reason string) {
	p.Keys = nobodysKey
	source, fetched := model.KeySetSourceOf(rule)
	if !fetched {
		if err := model.CheckKeySet(rule.GetJwks()); err != nil {
			return "jwks " + err.Error()
		}
		p.Keys = rule.GetJwks()
		return ""
	}
	o := r.Object(source.Key())
	if o == nil {
		return "no keys of " + source.Name() + " have been fetched"
	}
	p.Keys = o.Spec.(*model.KeySet).Keys
	return ""
}

// tokenProvider translates all of a rule but its keys. What no header or claim can be named is left out:
// it gives nothing to anybody.
func tokenProvider(rule *security.JWTRule) ir.TokenProvider {
	p := ir.TokenProvider{
		Issuer: rule.GetIssuer(), Audiences: someTexts(rule.GetAudiences()), FromParams: someTexts(rule.GetFromParams()), FromCookies: someTexts(rule.GetFromCookies()),
		Forward: rule.GetForwardOriginalToken(), Metadata: jwtPayload,
		SpaceDelimited: slices.Concat(delimitedClaims, someTexts(rule.GetSpaceDelimitedClaims())),
	}
	if headerName(rule.GetOutputPayloadToHeader()) {
		p.PayloadHeader = rule.GetOutputPayloadToHeader()
	}
	for _, h := range rule.GetFromHeaders() {
		if headerName(h.GetName()) && singleLine(h.GetPrefix()) {
			p.FromHeaders = append(p.FromHeaders, ir.TokenHeader{Name: h.GetName(), Prefix: h.GetPrefix()})
		}
	}
	for _, c := range rule.GetOutputClaimToHeaders() {
		if headerName(c.GetHeader()) && !strings.HasPrefix(c.GetHeader(), ":") && c.GetClaim() != "" {
			p.ClaimHeaders = append(p.ClaimHeaders, ir.ClaimHeader{Header: c.GetHeader(), Claim: c.GetClaim()})
		}
	}
	return p
}

// someTexts leaves out empty ones, which Envoy refuses.
func someTexts(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
}
