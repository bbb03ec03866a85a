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
		{source(&security.Source{TrustDomains: []string{"spiffe://td"}}), "write td"},
		{source(&security.Source{NotTrustDomains: []string{"td/ns/a"}}), "write td"},
		{source(&security.Source{TrustDomains: []string{"td", "*"}}), ""},
		{when("source.trustDomain", "td/ns/a"), "write td"},
		{when("connection.sni", "a.test:443"), "write a.test"},
		{when("connection.sni", "https://a.test"), "write a.test"},
		{when("connection.sni", "*.a.test"), ""},
		{when("request.headers[:method]", "get"), "write GET"},
		{when("request.headers[:Path]", "a"), "write /a"},
		{when("request.headers[:path]", "/a?b=c"), ""},
		{when("request.headers[:authority]", "http://a.test"), "write a.test"},
		{when("request.headers[:scheme]", "HTTPS"), "write https"},
		{when("request.headers[:scheme]", "ftp"), "http or https"},
		{when("request.headers[:scheme]", "http*"), ""},
		{when("request.headers[:status]", "200"), "no status"},
	} {
		told(t, &model.Object{Key: model.Key{Kind: model.KindAuthorizationPolicy, Namespace: "n", Name: "p"}, Spec: &security.AuthorizationPolicy{Rules: []*security.Rule{c.rule}}}, c.want)
	}
	exact := func(v string) *networking.StringMatch {
		return &networking.StringMatch{MatchType: &networking.StringMatch_Exact{Exact: v}}
	}
	headers := func(name, v string) map[string]*networking.StringMatch {
		return map[string]*networking.StringMatch{name: exact(v)}
	}
	for _, c := range []struct {
		match *networking.HTTPMatchRequest
		want  string
	}{
		{&networking.HTTPMatchRequest{Uri: exact("a")}, "write /a"},
		{&networking.HTTPMatchRequest{Uri: exact("/a?b")}, "write /a"},
		{&networking.HTTPMatchRequest{Uri: exact("/a")}, ""},
		{&networking.HTTPMatchRequest{Uri: exact("*")}, ""},
		{&networking.HTTPMatchRequest{Method: exact("get")}, "write GET"},
		{&networking.HTTPMatchRequest{Scheme: exact("HTTP")}, "write http"},
		{&networking.HTTPMatchRequest{Scheme: &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: "http"}}}, ""},
		{&networking.HTTPMatchRequest{Authority: exact("https://a.test")}, "write a.test"},
		{&networking.HTTPMatchRequest{Authority: exact("a.test:80")}, ""},
		{&networking.HTTPMatchRequest{Headers: headers(":method", "post")}, "write POST"},
		{&networking.HTTPMatchRequest{WithoutHeaders: headers(":path", "a")}, "write /a"},
		{&networking.HTTPMatchRequest{Headers: headers(":path", "/a?b")}, ""},
	} {
		route := &networking.HTTPRoute{
			Match: []*networking.HTTPMatchRequest{c.match},
			Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "a"}}},
		}
		told(t, &model.Object{Key: model.Key{Kind: model.KindVirtualService, Namespace: "n", Name: "v"}, Spec: &networking.VirtualService{Hosts: []string{"a"}, Http: []*networking.HTTPRoute{route}}}, c.want)
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
