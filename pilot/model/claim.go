package model

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// claimPrefix begins the name of a "header" in a match of a VirtualService that is a claim of the request's token.
const claimPrefix = "@request.auth.claims"

// IsClaim tells whether the name of a header in a match means a claim, or is meant to. Case means nothing, as in
// names of headers.
func IsClaim(header string) bool {
	return len(header) >= len(claimPrefix) && strings.EqualFold(header[:len(claimPrefix)], claimPrefix)
}

// ClaimPath reads such a name: @request.auth.claims.a.b, or with names that have dots @request.auth.claims[a][b].
// It gives the names from the outermost claim on.
func ClaimPath(header string) (path []string, ok bool) {
	if !IsClaim(header) {
		return nil, false
	}
	rest := header[len(claimPrefix):]
	if dotted, ok := strings.CutPrefix(rest, "."); ok {
		path = strings.Split(dotted, ".")
	} else if _, path, ok = BracketedKey("claims" + rest); !ok {
		return nil, false
	}
	bad := slices.ContainsFunc(path, func(name string) bool { return name == "" || strings.ContainsAny(name, "\r\n\x00") })
	return path, len(path) > 0 && !bad
}

// FirstClaim gives the first match of a VirtualService that asks for a claim: its field, and the claim's name as
// it is written there. Both are empty if none does.
func FirstClaim(vs *networking.VirtualService) (field, name string) {
	for i, rule := range vs.GetHttp() {
		for j, m := range rule.GetMatch() {
			if name := firstClaimOf(m.GetHeaders()); name != "" {
				return fmt.Sprintf("spec.http[%d].match[%d].headers[%s]", i, j, name), name
			}
			if name := firstClaimOf(m.GetWithoutHeaders()); name != "" {
				return fmt.Sprintf("spec.http[%d].match[%d].withoutHeaders[%s]", i, j, name), name
			}
		}
	}
	return "", ""
}

// firstClaimOf gives the first in order of the alphabet.
func firstClaimOf(headers map[string]*networking.StringMatch) string {
	first := ""
	for name := range headers {
		if IsClaim(name) && (first == "" || name < first) {
			first = name
		}
	}
	return first
}
