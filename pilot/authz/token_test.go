package authz

import (
	"reflect"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// Texts become lists where the rule of their issuer says so, but for nested ones, as Envoy has it, and what was given stays as it is.
func TestNoted(t *testing.T) {
	chain := &ir.FilterChain{Filters: []ir.NetworkFilter{&ir.HTTPConnectionManager{Filters: []ir.HTTPFilter{&ir.TokenCheck{Providers: []ir.TokenProvider{
		{Issuer: "a", SpaceDelimited: []string{"scope", "realm.roles", "list", "absent"}}, {Issuer: "b"},
	}}}}}}
	claims := func(issuer string) map[string]any {
		return map[string]any{"iss": issuer, "scope": "read  write", "list": []any{"x y"}, "realm": map[string]any{"roles": "one", "other": "x y"}}
	}
	given := claims("a")
	want := map[string]any{
		"iss": "a", "scope": []any{"read", "write"}, "list": []any{"x y"}, "realm": map[string]any{"roles": "one", "other": "x y"},
	}
	if got := TokensOf(chain).Noted(given); !reflect.DeepEqual(got, want) || !reflect.DeepEqual(given, claims("a")) {
		t.Errorf("%v of %v", got, given)
	}
	if got := TokensOf(chain).Noted(claims("b")); !reflect.DeepEqual(got, claims("b")) {
		t.Errorf("by another issuer: %v", got)
	}
	if got := TokensOf(chain).Noted(nil); got != nil {
		t.Errorf("without a token: %v", got)
	}
}
