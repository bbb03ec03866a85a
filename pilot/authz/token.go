package authz

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// providers gives who finds tokens good in a chain; checked tells that anybody looks at tokens.
func providers(chain *ir.FilterChain) (out []ir.TokenProvider, checked bool) {
	for _, f := range chain.Filters {
		m, ok := f.(*ir.HTTPConnectionManager)
		if !ok {
			continue
		}
		for _, h := range m.Filters {
			if check, ok := h.(*ir.TokenCheck); ok {
				out, checked = append(out, check.Providers...), true
			}
		}
	}
	return out, checked
}

// Checked tells whether a chain looks at the tokens of requests. Where it does not, no claim counts.
func Checked(chain *ir.FilterChain) bool {
	_, checked := providers(chain)
	return checked
}

// Issuers gives those whose tokens a chain may find good.
func Issuers(chain *ir.FilterChain) []string {
	var out []string
	all, _ := providers(chain)
	for _, p := range all {
		if p.Issuer != "" {
			out = append(out, p.Issuer)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Complete gives the claims of a valid token. An issuer that is not given is the only one of the chain, and
// an audience the only one that the chain asks for of that issuer. What was given stays as it is.
func Complete(chain *ir.FilterChain, claims map[string]any) map[string]any {
	out := maps.Clone(claims)
	if issuers := Issuers(chain); out["iss"] == nil && len(issuers) == 1 {
		out["iss"] = issuers[0]
	}
	var audiences []string
	all, _ := providers(chain)
	for _, p := range all {
		if p.Issuer == out["iss"] {
			audiences = append(audiences, p.Audiences...)
		}
	}
	if out["aud"] == nil && len(audiences) == 1 {
		out["aud"] = audiences[0]
	}
	return out
}

// Believed tells, by the error, why a chain answers 401 to a token with these claims, though its signature is good.
func Believed(chain *ir.FilterChain, claims map[string]any) error {
	all, _ := providers(chain)
	var wanted []string
	named := false
	for _, p := range all {
		if p.Issuer == "" || p.Issuer != claims["iss"] {
			continue
		}
		if len(p.Audiences) == 0 || slices.ContainsFunc(p.Audiences, func(a string) bool { return meant(claims["aud"], a) }) {
			return nil
		}
		named = true
		wanted = append(wanted, p.Audiences...)
	}
	if !named {
		return fmt.Errorf("the token's issuer %v is none of the workload's RequestAuthentications: %s", shown(claims["iss"]), strings.Join(Issuers(chain), ", "))
	}
	return fmt.Errorf("the token's audience %v is none that its issuer's RequestAuthentication takes: %s", shown(claims["aud"]), strings.Join(wanted, ", "))
}

func shown(claim any) string {
	if claim == nil {
		return "(none)"
	}
	return fmt.Sprintf("%q", fmt.Sprint(claim))
}

// meant tells whether the audience of a token, a text or a list of texts, holds one. Envoy compares them without
// scheme and final slash.
func meant(claim any, audience string) bool {
	switch v := claim.(type) {
	case string:
		return bare(v) == bare(audience)
	case []any:
		return slices.ContainsFunc(v, func(item any) bool { return meant(item, audience) })
	}
	return false
}

func bare(audience string) string {
	for _, scheme := range []string{"https://", "http://"} {
		if rest, ok := strings.CutPrefix(audience, scheme); ok {
			audience = rest
			break
		}
	}
	return strings.TrimSuffix(audience, "/")
}
