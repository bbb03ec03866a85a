package validate

import (
	"net/url"
	"strings"

	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func (c *checker) requestAuthentication(p *security.RequestAuthentication) {
	c.policyTarget(p)
	for i, rule := range p.GetJwtRules() {
		c.jwtRule(at("spec.jwtRules", i), rule)
	}
}

func (c *checker) jwtRule(path string, rule *security.JWTRule) {
	if rule.GetIssuer() == "" {
		c.missing(path + ".issuer")
	}
	c.someTexts(path+".audiences", rule.GetAudiences())
	c.someTexts(path+".fromParams", rule.GetFromParams())
	c.someTexts(path+".fromCookies", rule.GetFromCookies())
	c.someTexts(path+".spaceDelimitedClaims", rule.GetSpaceDelimitedClaims())
	c.keySet(path, rule)
	if rule.GetTimeout().AsDuration() > model.MaxKeySetTimeout {
		c.warn(path+".timeout", "is held for %s: no fetch of keys takes longer", model.MaxKeySetTimeout)
	}
	for i, h := range rule.GetFromHeaders() {
		field := at(path+".fromHeaders", i)
		if !isHeaderName(h.GetName()) {
			c.fail(field+".name", "%q is no name of a header", h.GetName())
		}
		if problem := headerValueProblem(h.GetPrefix()); problem != "" {
			c.fail(field+".prefix", "%s", problem)
		}
	}
	if name := rule.GetOutputPayloadToHeader(); name != "" && !isHeaderName(name) {
		c.fail(path+".outputPayloadToHeader", "%q is no name of a header", name)
	}
	for i, out := range rule.GetOutputClaimToHeaders() {
		field := at(path+".outputClaimToHeaders", i)
		if !isHeaderName(out.GetHeader()) {
			c.fail(field+".header", "%q is no name of a header", out.GetHeader())
		}
		if out.GetClaim() == "" {
			c.missing(field + ".claim")
		}
	}
}

// keySet checks where the keys of a rule come from.
func (c *checker) keySet(path string, rule *security.JWTRule) {
	address := rule.GetJwksUri()
	if rule.GetJwks() != "" {
		if address != "" {
			c.fail(path+".jwksUri", "stands beside jwks; write one of them")
		}
		if err := model.CheckKeySet(rule.GetJwks()); err != nil {
			c.fail(path+".jwks", "%v", err)
		}
		return
	}
	field := path + ".jwksUri"
	if address == "" {
		if address = rule.GetIssuer(); !strings.Contains(address, "://") {
			if address != "" {
				c.warn(field, "is missing, and the issuer is no URL that names its keys; until there is jwksUri or jwks every token is refused")
			}
			return
		}
		field = path + ".issuer"
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		c.fail(field, "%q is neither an http nor an https URL", address)
	case len(address) > model.MaxKeySetURL:
		c.fail(field, "is longer than %d bytes", model.MaxKeySetURL)
	case u.Scheme == "http":
		c.warn(field, "is plain http, by which anybody on the way can give keys of their own; use https")
	}
}

func (c *checker) someTexts(field string, list []string) {
	for i, text := range list {
		if text == "" {
			c.fail(at(field, i), "is empty")
		}
	}
}
