package model

import (
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

// RoutesByClaims tells whether a VirtualService has a rule for sidecars that asks for claims. A delegate may be
// for them.
func RoutesByClaims(vs *networking.VirtualService) bool {
	if g := vs.GetGateways(); len(g) > 0 && !slices.Contains(g, MeshGateway) {
		return false
	}
	for _, rule := range vs.GetHttp() {
		for _, m := range rule.GetMatch() {
			for _, headers := range []map[string]*networking.StringMatch{m.GetHeaders(), m.GetWithoutHeaders()} {
				for name := range headers {
					if IsClaim(name) {
						return true
					}
				}
			}
		}
	}
	return false
}
