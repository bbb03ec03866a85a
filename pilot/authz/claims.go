package authz

import (
	"maps"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// Noted gives the claims of a valid token as a chain's check of tokens notes them: a text that its rule for the
// issuer names as delimited by spaces becomes a list.
func Noted(chain *ir.FilterChain, claims map[string]any) map[string]any {
	all, _ := providers(chain)
	for _, p := range all {
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
