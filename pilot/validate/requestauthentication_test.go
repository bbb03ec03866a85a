package validate_test

import (
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// TestRulesOfRequestAuthentications gives each rule a policy that breaks it, as TestRules does.
func TestRulesOfRequestAuthentications(t *testing.T) {
	rule := func(fields string) string { return "spec: {jwtRules: [{issuer: 'https://a.example'" + fields + "}]}" }
	const field = "spec.jwtRules[0]"
	for _, tc := range []struct{ spec, want string }{
		{"spec: {}", ""},
		{rule(""), ""},
		{"spec: {jwtRules: [{jwksUri: 'https://a.example'}]}", field + ".issuer: missing"},
		{"spec: {jwtRules: [{issuer: robots}]}", "W " + field + ".jwksUri: every token is refused"},
		{rule(", jwks: x"), field + ".jwks: no JSON web key set"},
		{rule(", jwks: '{\"keys\": []}'"), field + ".jwks: no key"},
		{rule(", jwks: '{\"keys\": [{\"kty\": \"RSA\"}]}', jwksUri: 'https://b.example'"), field + ".jwksUri: beside jwks"},
		{rule(", timeout: 0s"), field + ".timeout: too short"},
		{rule(", timeout: 61s"), "W " + field + ".timeout: held for 1m0s"},
		{rule(", jwksUri: 'ftp://b.example'"), field + ".jwksUri: neither"},
		{rule(", jwksUri: 'https://b.example/" + strings.Repeat("a", 2048) + "'"), field + ".jwksUri: longer"},
		{rule(", jwksUri: 'http://b.example'"), "W " + field + ".jwksUri: plain http"},
		{rule(", audiences: ['']"), field + ".audiences[0]: empty"},
		{rule(", fromParams: ['']"), field + ".fromParams[0]: empty"},
		{rule(", fromCookies: ['']"), field + ".fromCookies[0]: empty"},
		{rule(", spaceDelimitedClaims: ['']"), field + ".spaceDelimitedClaims[0]: empty"},
		{rule(", fromHeaders: [{name: 'a b'}]"), field + ".fromHeaders[0].name: no name"},
		{rule(", outputPayloadToHeader: 'a b'"), field + ".outputPayloadToHeader: no name"},
		{rule(", outputClaimToHeaders: [{header: 'a b', claim: c}]"), field + ".outputClaimToHeaders[0].header: no name"},
		{rule(", outputClaimToHeaders: [{header: a}]"), field + ".outputClaimToHeaders[0].claim: missing"},
	} {
		var got []string
		for _, p := range validate.Object(object(t, "RequestAuthentication", tc.spec)) {
			text := p.Field + ": " + p.Message
			if p.Severity == "Warning" {
				text = "W " + text
			}
			got = append(got, text)
		}
		at, part, _ := strings.Cut(tc.want, ": ")
		switch {
		case tc.want == "" && len(got) == 0:
		case tc.want != "" && len(got) == 1 && strings.HasPrefix(got[0], at+": ") && strings.Contains(got[0], part):
		default:
			t.Errorf("%s: %q, want %q", tc.spec, got, tc.want)
		}
	}
}
