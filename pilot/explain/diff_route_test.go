package explain

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// dice makes routes and requests that often meet.
var anyPort80 = netip.MustParseAddrPort(UnknownAddress + ":80")

type dice struct{ *rand.Rand }

func (d dice) one(of ...string) string { return of[d.IntN(len(of))] }

func (d dice) text() *matcher.StringMatcher {
	m := &matcher.StringMatcher{IgnoreCase: d.IntN(5) == 0}
	switch d.IntN(5) {
	case 0:
		m.MatchPattern = &matcher.StringMatcher_Exact{Exact: d.one("a", "ab", "abc", "b")}
	case 1:
		m.MatchPattern = &matcher.StringMatcher_Prefix{Prefix: d.one("a", "ab", "b")}
	case 2:
		m.MatchPattern = &matcher.StringMatcher_Suffix{Suffix: d.one("c", "bc", "b")}
	case 3:
		m.MatchPattern = &matcher.StringMatcher_Contains{Contains: d.one("b", "ab")}
	default:
		m.IgnoreCase = false
		m.MatchPattern = &matcher.StringMatcher_SafeRegex{SafeRegex: &matcher.RegexMatcher{Regex: d.one("a.*", "ab?c", "[ab]+", "(a|b)c")}}
	}
	return m
}

func (d dice) match() *routev3.RouteMatch {
	m := &routev3.RouteMatch{}
	switch d.IntN(4) {
	case 0:
		m.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: d.one("/", "/a", "/ab", "/a/")}
	case 1:
		m.PathSpecifier = &routev3.RouteMatch_Path{Path: d.one("/a", "/ab", "/a/b")}
	case 2:
		m.PathSpecifier = &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: d.one("/a", "/ab", "/a/b")}
	default:
		m.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: &matcher.RegexMatcher{Regex: d.one("/a.*", "/a/[0-9]+", "/.*/b", "/[ab]*")}}
	}
	if d.IntN(6) == 0 {
		m.CaseSensitive = wrapperspb.Bool(false)
	}
	for _, name := range []string{"x", "y", ":method"} {
		if d.IntN(3) > 0 {
			continue
		}
		h := &routev3.HeaderMatcher{Name: name, InvertMatch: d.IntN(3) == 0}
		h.HeaderMatchSpecifier = &routev3.HeaderMatcher_StringMatch{StringMatch: d.text()}
		switch {
		case name == ":method":
			h.HeaderMatchSpecifier = &routev3.HeaderMatcher_StringMatch{StringMatch: &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: d.one("GET", "PUT")}}}
		case d.IntN(4) == 0:
			h.HeaderMatchSpecifier = &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}
		case d.IntN(4) == 0:
			h.TreatMissingHeaderAsEmpty = true
		}
		m.Headers = append(m.Headers, h)
	}
	if d.IntN(4) == 0 {
		q := &routev3.QueryParameterMatcher{Name: "q", QueryParameterMatchSpecifier: &routev3.QueryParameterMatcher_StringMatch{StringMatch: d.text()}}
		if d.IntN(3) == 0 {
			q.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_PresentMatch{PresentMatch: true}
		}
		m.QueryParameters = append(m.QueryParameters, q)
	}
	return m
}

func (d dice) routes() []*routev3.Route {
	var out []*routev3.Route
	for i := range 1 + d.IntN(4) {
		out = append(out, answering(d.match(), uint32(200+i)))
	}
	return out
}

// answering is a route that tells by its status that it was chosen.
func answering(m *routev3.RouteMatch, status uint32) *routev3.Route {
	return &routev3.Route{Match: m, Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: status}}}
}

// edited gives routes of which something is another.
func (d dice) edited(routes []*routev3.Route) []*routev3.Route {
	var out []*routev3.Route
	for _, r := range routes {
		out = append(out, proto.Clone(r).(*routev3.Route))
	}
	at := d.IntN(len(out))
	switch d.IntN(5) {
	case 0:
		return append(out[:at], out[at+1:]...)
	case 1:
		return append([]*routev3.Route{answering(d.match(), 299)}, out...)
	case 2:
		other := d.IntN(len(out))
		out[at], out[other] = out[other], out[at]
	default:
		out[at].Match = d.match()
	}
	return out
}

func (d dice) request() Request {
	r := Request{
		Way: Outbound, Protocol: HTTP11, Destination: anyPort80, Host: "shop", Method: d.one("GET", "PUT", "POST"), Header: http.Header{},
		Path: d.one("/", "/a", "/A", "/ab", "/abc", "/a/", "/a/b", "/a/7", "/x/b", "/ab/c", "/bab", "/x"),
	}
	for _, name := range []string{"X", "Y"} {
		if d.IntN(2) == 0 {
			r.Header.Set(name, d.one("a", "ab", "abc", "b", "bc", "ac", "AB", "cab", "other"))
		}
	}
	if d.IntN(2) == 0 {
		r.Path += "?q=" + d.one("a", "ab", "abc", "b", "bc", "ac", "cab", "other")
	}
	return r
}

// serving is a sidecar that leads requests for port 80 by routes.
func serving(t testing.TB, routes ...*routev3.Route) Side {
	t.Helper()
	listener := func(name string, ip string, port uint32, original bool) *listenerv3.Listener {
		manager, err := anypb.New(&hcm.HttpConnectionManager{
			RouteSpecifier: &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{RouteConfigName: "80"}},
			HttpFilters:    []*hcm.HttpFilter{{Name: "router", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: packed(t, &router.Router{})}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		l := &listenerv3.Listener{
			Name: name, Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{Address: ip, PortSpecifier: &core.SocketAddress_PortValue{PortValue: port}}}},
			FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager}}}}},
		}
		if original {
			l.UseOriginalDst, l.FilterChains = wrapperspb.Bool(true), nil
		}
		return l
	}
	resources := []proto.Message{
		listener("0.0.0.0_80", "0.0.0.0", 80, false), listener(virtualOutbound, "0.0.0.0", 15001, true),
		&routev3.RouteConfiguration{Name: "80", VirtualHosts: []*routev3.VirtualHost{{Name: "shop:80", Domains: []string{"shop"}, Routes: routes}}},
	}
	return Side{Resources: resources, Config: func() *Config { return NewConfig(resources) }}
}

func packed(t testing.TB, m proto.Message) *anypb.Any {
	t.Helper()
	out, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Where two lists of routes answer any request otherwise, one of the requests that are made up for them is, and what is
// reported is true.
func checkRoutes(t *testing.T, seed uint64) (differ bool) {
	d := dice{rand.New(rand.NewPCG(seed, 1))}
	a := d.routes()
	b := d.edited(a)
	before, after := serving(t, a...), serving(t, b...)
	x, y := before.Config(), after.Config()
	changes := NewDiffer().Diff(before, after)
	for f, p := range probesOf(before, after) {
		if a, b := f.try(p); a.said() != x.Explain(p.request).said() || b.said() != y.Explain(p.request).said() {
			t.Errorf("seed %d: %s: %s and %s, as some routes were passed over", seed, p.name, a.brief(), b.brief())
		}
	}
	found := false
	for _, c := range changes {
		found = found || c.Request != ""
		if c.Request != "" && c.Was.Status == c.Is.Status {
			t.Errorf("seed %d: %s", seed, c)
		}
	}
	for range 500 {
		r := d.request()
		if p, q := x.Explain(r).Outcome.Status, y.Explain(r).Outcome.Status; p != q {
			if !found {
				t.Errorf("seed %d: %s %v gets %d, and got %d, of which nothing is said:\n%s\n%s", seed, r.line(), r.Header, q, p, shown(a), shown(b))
			}
			return true
		}
	}
	return false
}

// probesOf gives what is tried.
func probesOf(before, after Side) iter.Seq2[*focus, probe] {
	f := NewDiffer().focus(before, after, isOutbound)
	return func(yield func(*focus, probe) bool) {
		for _, p := range f.probes() {
			if !yield(f, p) {
				return
			}
		}
	}
}

func shown(routes []*routev3.Route) string {
	var out []string
	for _, r := range routes {
		out = append(out, fmt.Sprint(r.GetMatch()))
	}
	return strings.Join(out, "\n")
}

func TestRoutesAreToldApart(t *testing.T) {
	differ := 0
	for seed := range uint64(500) {
		if checkRoutes(t, seed) {
			differ++
		}
	}
	if differ < 200 {
		t.Errorf("only %d pairs answer a request otherwise", differ)
	}
}
