package validate

import (
	"strings"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// What nothing ever has is told with what to write in its place, and what may be met is not.
func TestValuesThatNothingHasAreTold(t *testing.T) {
	source := func(s *security.Source) *security.Rule {
		return &security.Rule{From: []*security.Rule_From{{Source: s}}}
	}
	operation := func(o *security.Operation) *security.Rule {
		return &security.Rule{To: []*security.Rule_To{{Operation: o}}}
	}
	when := func(key, v string) *security.Rule {
		return &security.Rule{When: []*security.Condition{{Key: key, Values: []string{v}}}}
	}
	for _, c := range []struct {
		rule *security.Rule
		want string // "" for nothing
	}{
		{source(&security.Source{Principals: []string{"spiffe://td/ns/a/sa/b"}}), "write td/ns/a/sa/b"},
		{source(&security.Source{NotPrincipals: []string{"spiffe://td/ns/a/sa/b"}}), "write td/ns/a/sa/b"},
		{source(&security.Source{Principals: []string{"b"}}), "write that, or */sa/b"},
		{source(&security.Source{Principals: []string{"td/ns/a/sa/b"}}), ""},
		{source(&security.Source{Principals: []string{"*"}}), ""},
		{source(&security.Source{Principals: []string{"*/sa/b"}}), ""},
		{source(&security.Source{Namespaces: []string{"ns/a"}}), "write a"},
		{source(&security.Source{NotNamespaces: []string{"ns/a"}}), "write a"},
		{source(&security.Source{RequestPrincipals: []string{"me"}}), "write both, or */me"},
		{source(&security.Source{RequestPrincipals: []string{"i/me"}}), ""},
		{source(&security.Source{RequestPrincipals: []string{"*"}}), ""},
		{operation(&security.Operation{Methods: []string{"get"}}), "write GET"},
		{operation(&security.Operation{Methods: []string{"GET"}}), ""},
		{operation(&security.Operation{Paths: []string{"a"}}), "write /a"},
		{operation(&security.Operation{NotPaths: []string{"/a?b=c"}}), "write /a"},
		{operation(&security.Operation{Paths: []string{"*a"}}), ""},
		{operation(&security.Operation{Paths: []string{"/{*}"}}), ""},
		{operation(&security.Operation{Hosts: []string{"http://a.test/x"}}), "write a.test"},
		{operation(&security.Operation{Hosts: []string{"a.test/x"}}), "write a.test, and"},
		{operation(&security.Operation{Hosts: []string{"a.test:80"}}), ""},
		{when("source.principal", "spiffe://td/ns/a/sa/b"), "write td/ns/a/sa/b"},
		{when("source.namespace", "x/a"), "write a"},
		{when("request.auth.principal", "me"), "write both"},
		{when("request.headers[x]", "a/b"), ""},
	} {
		told(t, &model.Object{Key: model.Key{Kind: model.KindAuthorizationPolicy, Namespace: "n", Name: "p"}, Spec: &security.AuthorizationPolicy{Rules: []*security.Rule{c.rule}}}, c.want)
	}
	for uri, want := range map[string]string{"a": "write /a", "/a?b": "write /a", "/a": "", "*": ""} {
		route := &networking.HTTPRoute{
			Match: []*networking.HTTPMatchRequest{{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Exact{Exact: uri}}}},
			Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "a"}}},
		}
		told(t, &model.Object{Key: model.Key{Kind: model.KindVirtualService, Namespace: "n", Name: "v"}, Spec: &networking.VirtualService{Hosts: []string{"a"}, Http: []*networking.HTTPRoute{route}}}, want)
	}
}

func told(t *testing.T, o *model.Object, want string) {
	t.Helper()
	found := Object(o)
	switch {
	case want == "" && len(found) > 0, want != "" && len(found) != 1:
		t.Errorf("%v: %v, want %q", o.Spec, found, want)
	case want != "" && (found[0].Severity != model.SeverityWarning || !strings.Contains(found[0].Message, want)):
		t.Errorf("%v: %v, want a warning with %q", o.Spec, found[0], want)
	}
}
