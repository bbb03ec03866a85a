package resolve

import (
	"slices"
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

func parseMesh(t *testing.T, text string) *meshconfig.MeshConfig {
	t.Helper()
	mesh, err := model.ParseMeshConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return mesh
}

func protocolOf(name string) model.Protocol { return model.Protocol(name) }

func TestShortNames(t *testing.T) {
	for _, c := range []struct {
		host, domain string
		want         []string
	}{
		{"a.one.svc.cluster.local", "one.svc.cluster.local", []string{"a", "a.one", "a.one.svc"}},
		{"a.two.svc.cluster.local", "one.svc.cluster.local", []string{"a.two", "a.two.svc"}},
		{"a.one.svc.cluster.local", "one.svc.other.local", nil},
		{"example.com", "one.svc.cluster.local", nil},
		{"a.b.one.svc.cluster.local", "one.svc.cluster.local", []string{"a.b.one", "a.b.one.svc"}},
		{"a.one.svc.cluster.local", "", nil},
	} {
		var facts []string
		r := store.FromObjects(nil, store.Options{}).Reader(func(row store.Row) { facts = append(facts, row.Name) })
		v := view{r: r, c: &Class{DNSDomain: c.domain}}
		got := v.shortNames(c.host)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s in %s: %q", c.host, c.domain, got)
		}
		if (len(got) > 0) != (len(facts) > 0) {
			t.Errorf("%s in %s: the names depend on where the client is, and it notes %q", c.host, c.domain, facts)
		}
	}
}

func TestConditions(t *testing.T) {
	on, codes := conditions(" 5xx, 503,reset,409")
	if !slices.Equal(on, []string{"5xx", "reset", "retriable-status-codes"}) || !slices.Equal(codes, []uint32{503, 409}) {
		t.Errorf("%q %v", on, codes)
	}
}

// A text that Envoy does not take as a format would cost a whole route configuration.
func TestFormatString(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "plain": true, "100%%": true, "%REQ(:path)%": true, "%REQ(a?b):10%": true,
		"%START_TIME%": true, "%START_TIME(%s.%3f)%": true, "%PROTOCOL% %RESPONSE_CODE%": true,
		"%": false, "100%": false, "%%%": false, "%REQ%": false, "%NOPE%": false, "%req(a)%": false, "%REQ(a%": false,
		"%PROTOCOL(x)%": false, "%PROTOCOL:3%": false, "%REQ()%": false, "%REQ(a?b?c)%": false, "%REQ(a):3%": true, "%REQ( a)%": false,
		"%METADATA(X:a)%": false, "%METADATA(CLUSTER:istio:alpn)%": true, "%FILTER_STATE(a:FIELD)%": false, "%START_TIME:3%": false, "%START_TIME(%n)%": false, "%START_TIME(%Y %5En)%": false, "%START_TIME(%%n)%": false,
		"%GRPC_STATUS(NUMBER)%": true, "%GRPC_STATUS(x)%": false, "%FILTER_STATE(a:PLAIN):3%": true,
	} {
		if got := formatString(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestSharedHosts(t *testing.T) {
	server := gatewayServer{hosts: []hostIn{{"*", "*.example.com"}, {"one", "one.test"}}}
	for _, c := range []struct {
		namespace, host string
		want            []string
	}{
		{"two", "a.example.com", []string{"a.example.com"}},
		{"two", "example.com", nil},
		{"two", "*", []string{"*.example.com"}},
		{"one", "*", []string{"*.example.com", "one.test"}},
		{"two", "one.test", nil},
		{"one", "a.*.b", nil},
		{"one", "", nil},
	} {
		if got := server.shares(c.namespace, c.host); !slices.Equal(got, c.want) {
			t.Errorf("%q in %s: %q", c.host, c.namespace, got)
		}
	}
}

// Of a rule that Envoy would not take the first fault alone is told, and nothing of it has any effect. The others have
// theirs. Other faults refuse the whole object before it comes here (pilot/validate).
func TestFirstFault(t *testing.T) {
	to := []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "a.example.com"}}}
	prefix := func(path string) *networking.StringMatch {
		return &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: path}}
	}
	o := &model.Object{Key: model.Key{Kind: model.KindVirtualService, Namespace: "ns", Name: "v"}, Spec: &networking.VirtualService{
		Hosts: []string{"a.example.com"},
		Http: []*networking.HTTPRoute{
			{ // faults of matches leave the other matches of the rule
				Match: []*networking.HTTPMatchRequest{
					{Uri: &networking.StringMatch{MatchType: &networking.StringMatch_Exact{}}, Headers: map[string]*networking.StringMatch{"a b": prefix("x")}},
					{Uri: prefix("/sound")},
				},
				Route: to,
			},
			{
				Match: []*networking.HTTPMatchRequest{{Uri: prefix("/broken")}},
				Route: to,
				Headers: &networking.Headers{
					Request:  &networking.Headers_HeaderOperations{Set: map[string]string{"x-a": "100%", "x-b": "%"}},
					Response: &networking.Headers_HeaderOperations{Add: map[string]string{"x-c": "%NOPE%"}},
				},
			},
			{Name: "last", Route: to},
		},
	}}
	r, c := store.FromObjects([]*model.Object{o}, store.Options{}).Reader(nil), &Class{Type: model.SidecarProxy, Namespace: "ns"}
	v := view{r: r, c: c, scope: newScope(r, c)}
	s := v.ruleSet(newVirtualService(r, o), 80)
	var paths []string
	for _, route := range s.httpRoutes() {
		paths = append(paths, route.Match.Path.Value+route.Name)
	}
	if want := []string{"/sound", "last"}; !slices.Equal(paths, want) {
		t.Errorf("routes %q, want %q", paths, want)
	}
	var faults []string
	for _, p := range s.problems {
		if p.Severity == model.SeverityError {
			faults = append(faults, p.Field)
		}
	}
	if want := []string{"spec.http[0].match[0].uri.exact", "spec.http[1].headers.request.set[x-a]"}; !slices.Equal(faults, want) {
		t.Errorf("faults of %q, want %q", faults, want)
	}
}
