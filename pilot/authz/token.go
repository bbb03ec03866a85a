package authz

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// Tokens are those who find the tokens of requests good; nil where nobody looks at them, so that no claim counts.
type Tokens []ir.TokenProvider

// TokensOf gives those of a filter chain.
func TokensOf(chain *ir.FilterChain) Tokens {
	var out Tokens
	for _, f := range chain.Filters {
		m, ok := f.(*ir.HTTPConnectionManager)
		if !ok {
			continue
		}
		for _, h := range m.Filters {
			if check, ok := h.(*ir.TokenCheck); ok {
				out = append(out, check.Providers...)
			}
		}
	}
	return out
}

// Issuers gives those whose tokens may be good.
func (t Tokens) Issuers() []string {
	var out []string
	for _, p := range t {
		if p.Issuer != "" {
			out = append(out, p.Issuer)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Complete gives the claims of a valid token. An issuer that is not given is the only one that there is, and
// an audience the only one that is asked for of that issuer. What was given stays as it is.
func (t Tokens) Complete(claims map[string]any) map[string]any {
	out := maps.Clone(claims)
	if issuers := t.Issuers(); out["iss"] == nil && len(issuers) == 1 {
		out["iss"] = issuers[0]
	}
	var audiences []string
	for _, p := range t {
		if p.Issuer == out["iss"] {
			audiences = append(audiences, p.Audiences...)
		}
	}
	if out["aud"] == nil && len(audiences) == 1 {
		out["aud"] = audiences[0]
	}
	return out
}

// Disbelief is why a token counts as none, though its signature is good.
type Disbelief struct {
	Status int    // that the client gets
	Body   string // with it
	why    string
}

// Error says why, in a sentence.
func (d *Disbelief) Error() string { return d.why }

// Believed tells, by the error, a *Disbelief, why a token with these claims is refused, though its signature is good.
func (t Tokens) Believed(claims map[string]any) error {
	var wanted []string
	named := false
	for _, p := range t {
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
		return &Disbelief{
			http.StatusUnauthorized, "Jwt issuer is not configured",
			fmt.Sprintf("the token's issuer %v is none of the workload's RequestAuthentications: %s", shown(claims["iss"]), strings.Join(t.Issuers(), ", ")),
		}
	}
	return &Disbelief{
		http.StatusForbidden, "Audiences in Jwt are not allowed",
		fmt.Sprintf("the token's audience %v is none that its issuer's RequestAuthentication takes: %s", shown(claims["aud"]), strings.Join(wanted, ", ")),
	}
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

// Noted gives the claims of a valid token as they are noted: a text that its rule for the issuer names as delimited
// by spaces becomes a list.
func (t Tokens) Noted(claims map[string]any) map[string]any {
	for _, p := range t {
		if p.Issuer == claims["iss"] {
			claims = delimited(claims, p.SpaceDelimited)
		}
	}
	return claims
}

// delimited gives claims in which the texts of some names are lists. What was given stays as it is.
func delimited(claims map[string]any, names []string) map[string]any {
	out := maps.Clone(claims)
	for _, name := range names {
		if text, ok := claims[name].(string); ok {
			words := []any{}
			for _, word := range strings.Fields(text) {
				words = append(words, word)
			}
			out[name] = words
		}
	}
	return out
}
