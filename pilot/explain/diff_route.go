package explain

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	cors "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/witness"
	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
)

// choicesMost bounds how many requests to a virtual host are looked at.
const choicesMost = 4000

// rules are the routes of a virtual host before and after, one list after the other.
type rules struct {
	all   []*routev3.Route
	after int // where the second list begins
	hot   []bool
}

// routed gives a request for each pair of routes, before and after, that can be the first to match and of which one
// differs or leads to what differs.
func (f *focus) routed(r Request, both [2]*routev3.VirtualHost, everything bool) []Request {
	a, b := both[0].GetRoutes(), both[1].GetRoutes()
	t := &rules{all: slices.Concat(a, b), after: len(a)}
	head, tail := common(a, b)
	for i, route := range t.all {
		own, n := i, len(a)
		if i >= t.after {
			own, n = i-t.after, len(b)
		}
		t.hot = append(t.hot, everything || own >= head && own < n-tail || f.leadsRoute(route))
	}
	if len(t.all) == 0 {
		r.Path = "/"
		return []Request{r}
	}
	keep := func(left witness.Bits) bool { return everything || t.isHot(left) }
	fields, set := t.fields(r)
	var out []Request
	seen := map[[2]int]bool{}
	for _, c := range witness.Combine(fields, t.bits(func(*routev3.RouteMatch) bool { return true }), keep, choicesMost) {
		pair := [2]int{t.first(c.Rules, 0, t.after), t.first(c.Rules, t.after, len(t.all))}
		if seen[pair] || !everything && !t.isHotRoute(pair[0]) && !t.isHotRoute(pair[1]) {
			continue
		}
		seen[pair] = true
		q := r
		q.Header, q.Path = http.Header{}, "/"
		for i, at := range c.Values {
			set[i](&q, at)
		}
		out = append(out, q)
		for _, i := range pair {
			if i >= 0 {
				out = append(out, crossOrigin(q, t.all[i])...)
			}
		}
	}
	return out
}

// common counts the routes that two lists begin and end with alike.
func common(a, b []*routev3.Route) (head, tail int) {
	n := min(len(a), len(b))
	for head < n && proto.Equal(a[head], b[head]) {
		head++
	}
	for tail < n-head && proto.Equal(a[len(a)-1-tail], b[len(b)-1-tail]) {
		tail++
	}
	return head, tail
}

func (t *rules) isHotRoute(i int) bool { return i >= 0 && t.hot[i] }

func (t *rules) isHot(left witness.Bits) bool {
	for i, hot := range t.hot {
		if hot && left.Has(i) {
			return true
		}
	}
	return false
}

// first gives the first route that is left; -1 for none.
func (t *rules) first(left witness.Bits, from, to int) int {
	for i := from; i < to; i++ {
		if left.Has(i) {
			return i
		}
	}
	return -1
}

func (t *rules) bits(is func(*routev3.RouteMatch) bool) witness.Bits {
	return witness.NewBits(len(t.all), func(i int) bool { return is(t.all[i].GetMatch()) })
}

// fields gives what routes have conditions on, and how a value of each is put into a request.
func (t *rules) fields(r Request) (fields []witness.Field, set []func(*Request, int)) {
	add := func(f witness.Field, how func(*Request, int)) { fields, set = append(fields, f), append(set, how) }
	paths := t.paths()
	var f witness.Field
	for _, p := range paths {
		f = append(f, t.bits(func(m *routev3.RouteMatch) bool { return pathMatches(m, p) && unknownCondition(m) == "" }))
	}
	add(f, func(r *Request, at int) { r.Path = paths[at] })
	for _, name := range t.headerNames() {
		values := t.headerValues(name, r)
		var f witness.Field
		for _, v := range values {
			f = append(f, t.bits(func(m *routev3.RouteMatch) bool { return headersHold(m, name, v) }))
		}
		add(f, func(r *Request, at int) { setHeader(r, name, values[at]) })
	}
	for _, name := range t.queryNames() {
		values := t.queryValues(name)
		var f witness.Field
		for _, v := range values {
			f = append(f, t.bits(func(m *routev3.RouteMatch) bool { return queryHolds(m, name, v) }))
		}
		add(f, func(r *Request, at int) { addQuery(r, name, values[at]) })
	}
	if tokens := t.tokens(); len(tokens) > 1 {
		var f witness.Field
		for _, claims := range tokens {
			x := &exchange{path: "/", claims: map[string]any{ir.TokenPayload: claims}}
			f = append(f, t.bits(func(m *routev3.RouteMatch) bool {
				return x.miss(&routev3.RouteMatch{PathSpecifier: anyPath, DynamicMetadata: m.GetDynamicMetadata()}) == ""
			}))
		}
		add(f, func(r *Request, at int) { r.Claims = tokens[at] })
	}
	return fields, set
}

var anyPath = &routev3.RouteMatch_Prefix{Prefix: "/"}

// unknownCondition says what of a match cannot be met here.
func unknownCondition(m *routev3.RouteMatch) string {
	x := &exchange{path: "/", headers: map[string]string{"content-type": "application/grpc"}}
	rest := &routev3.RouteMatch{
		PathSpecifier: anyPath, Grpc: m.GetGrpc(), TlsContext: m.GetTlsContext(), RuntimeFraction: m.GetRuntimeFraction(),
		FilterState: m.GetFilterState(), Cookies: m.GetCookies(),
	}
	return x.miss(rest)
}

func (t *rules) paths() []string {
	var patterns []witness.Pattern
	for _, route := range t.all {
		m := route.GetMatch()
		p := witness.Pattern{IgnoreCase: m.GetCaseSensitive() != nil && !m.GetCaseSensitive().GetValue()}
		switch s := m.GetPathSpecifier().(type) {
		case *routev3.RouteMatch_Prefix:
			p.Kind, p.Value = witness.Prefix, s.Prefix
		case *routev3.RouteMatch_Path:
			p.Value = s.Path
		case *routev3.RouteMatch_PathSeparatedPrefix:
			p.Kind, p.Value = witness.Segments, s.PathSeparatedPrefix
		case *routev3.RouteMatch_SafeRegex:
			p.Kind, p.Value = witness.Regex, s.SafeRegex.GetRegex()
		}
		patterns = append(patterns, p)
	}
	return witness.Texts(patterns, authz.PathForm, "/", "/any")
}

// textForm is that of values of headers and claims.
var textForm = witness.Form{Valid: func(s string) bool { return s != "" && strings.TrimSpace(s) == s }}

// form gives one that only asks for something to be true of a text.
func form(valid func(string) bool) witness.Form { return witness.Form{Valid: valid} }

// stringPattern gives a matcher as a pattern; one of no kind that is known as that of any text.
func stringPattern(m *matcher.StringMatcher) witness.Pattern {
	p := witness.Pattern{Kind: witness.Prefix, IgnoreCase: m.GetIgnoreCase()}
	switch s := m.GetMatchPattern().(type) {
	case *matcher.StringMatcher_Exact:
		p.Kind, p.Value = witness.Exact, s.Exact
	case *matcher.StringMatcher_Prefix:
		p.Value = s.Prefix
	case *matcher.StringMatcher_Suffix:
		p.Kind, p.Value = witness.Suffix, s.Suffix
	case *matcher.StringMatcher_Contains:
		p.Kind, p.Value = witness.Contains, s.Contains
	case *matcher.StringMatcher_SafeRegex:
		p.Kind, p.Value = witness.Regex, s.SafeRegex.GetRegex()
	}
	return p
}

func (t *rules) headerNames() []string {
	names := map[string]bool{}
	for _, route := range t.all {
		for _, h := range route.GetMatch().GetHeaders() {
			names[strings.ToLower(h.GetName())] = true
		}
		if route.GetMatch().GetGrpc() != nil {
			names["content-type"] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// headerValues gives values of a header; nil for a request without it comes first, where there are such.
func (t *rules) headerValues(name string, r Request) []*string {
	var patterns []witness.Pattern
	for _, route := range t.all {
		for _, h := range route.GetMatch().GetHeaders() {
			if !strings.EqualFold(h.GetName(), name) {
				continue
			}
			patterns = append(patterns, stringPattern(h.GetStringMatch()))
			if span := h.GetRangeMatch(); span != nil {
				for _, n := range []int64{span.GetStart(), span.GetEnd() - 1, span.GetEnd()} {
					patterns = append(patterns, witness.Pattern{Value: strconv.FormatInt(n, 10)})
				}
			}
		}
		if name == "content-type" && route.GetMatch().GetGrpc() != nil {
			patterns = append(patterns, witness.Pattern{Kind: witness.Prefix, Value: "application/grpc"})
		}
	}
	valid := textForm
	usual, may := []string{"any"}, true
	switch name {
	case ":method":
		usual, may = []string{"GET", "POST", "PUT", "DELETE"}, false
		valid = form(func(s string) bool {
			return s != "" && strings.ToUpper(s) == s && !strings.ContainsAny(s, " /:0123456789")
		})
	case ":scheme":
		scheme := map[bool]string{true: "https", false: "http"}[r.TLS != nil]
		return []*string{&scheme}
	case ":authority":
		usual, may = []string{r.Host}, false
		valid = form(func(s string) bool { return s != "" && !strings.ContainsAny(s, "/?# ") })
	}
	var out []*string
	if may {
		out = append(out, nil)
	}
	for _, v := range witness.Texts(patterns, valid, usual...) {
		out = append(out, &v)
	}
	return out
}

// headersHold tells whether the conditions of a match on a header hold; a nil value is that of no header.
func headersHold(m *routev3.RouteMatch, name string, value *string) bool {
	headers := map[string]string{}
	if value != nil {
		headers[name] = *value
	}
	for _, h := range m.GetHeaders() {
		if strings.EqualFold(h.GetName(), name) && !headerMatches(h, headers) {
			return false
		}
	}
	return name != "content-type" || m.GetGrpc() == nil || strings.HasPrefix(headers[name], "application/grpc")
}

func setHeader(r *Request, name string, value *string) {
	switch {
	case value == nil:
	case name == ":method":
		r.Method = *value
	case name == ":authority":
		r.Host = *value
	case !strings.HasPrefix(name, ":"):
		r.Header.Set(name, *value)
	}
}

func (t *rules) queryNames() []string {
	names := map[string]bool{}
	for _, route := range t.all {
		for _, q := range route.GetMatch().GetQueryParameters() {
			names[q.GetName()] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func (t *rules) queryValues(name string) []*string {
	var patterns []witness.Pattern
	for _, route := range t.all {
		for _, q := range route.GetMatch().GetQueryParameters() {
			if q.GetName() == name {
				patterns = append(patterns, stringPattern(q.GetStringMatch()))
			}
		}
	}
	out := []*string{nil}
	for _, v := range witness.Texts(patterns, form(func(s string) bool { return !strings.ContainsAny(s, "&#? ") }), "any") {
		out = append(out, &v)
	}
	return out
}

func queryHolds(m *routev3.RouteMatch, name string, value *string) bool {
	r := &Request{Path: "/"}
	addQuery(r, name, value)
	only := &routev3.RouteMatch{PathSpecifier: anyPath}
	for _, q := range m.GetQueryParameters() {
		if q.GetName() == name {
			only.QueryParameters = append(only.QueryParameters, q)
		}
	}
	return (&exchange{path: r.Path}).miss(only) == ""
}

// addQuery adds a parameter as it stands: Envoy compares it so.
func addQuery(r *Request, name string, value *string) {
	if value == nil {
		return
	}
	sep := "?"
	if strings.Contains(r.Path, "?") {
		sep = "&"
	}
	r.Path += sep + name + "=" + *value
}

// tokens gives the claims of tokens that routes ask for; nil for no token comes first.
func (t *rules) tokens() []map[string]any {
	by := map[string][]witness.Pattern{}
	for _, route := range t.all {
		for _, m := range route.GetMatch().GetDynamicMetadata() {
			if m.GetFilter() != httpfilter.JWT || len(m.GetPath()) < 2 {
				continue
			}
			var path []string
			for _, s := range m.GetPath()[1:] {
				path = append(path, s.GetKey())
			}
			name := strings.Join(path, "\x00")
			for _, v := range append(m.GetValue().GetOrMatch().GetValueMatchers(), m.GetValue()) {
				if s := v.GetStringMatch(); s != nil {
					by[name] = append(by[name], stringPattern(s))
				}
				if s := v.GetListMatch().GetOneOf().GetStringMatch(); s != nil {
					by[name] = append(by[name], stringPattern(s))
				}
			}
			by[name] = append(by[name], witness.Pattern{Kind: witness.Prefix})
		}
	}
	out := []map[string]any{nil}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		for _, base := range slices.Clone(out) {
			for _, v := range witness.Texts(by[name], textForm, "any") {
				if len(out) < 200 {
					out = append(out, authz.WithClaim(base, strings.Split(name, "\x00"), v))
				}
			}
		}
	}
	return out
}

// crossOrigin gives the preflight requests that a route's policy for other origins tells apart.
func crossOrigin(r Request, route *routev3.Route) []Request {
	var patterns []witness.Pattern
	for _, packed := range route.GetTypedPerFilterConfig() {
		policy := &cors.CorsPolicy{}
		if !packed.MessageIs(policy) || packed.UnmarshalTo(policy) != nil {
			continue
		}
		for _, m := range policy.GetAllowOriginStringMatch() {
			patterns = append(patterns, stringPattern(m))
		}
	}
	if len(patterns) == 0 {
		return nil
	}
	var out []Request
	for _, origin := range witness.Texts(patterns, textForm, "https://any.example") {
		q := r
		q.Method, q.Header = http.MethodOptions, r.Header.Clone()
		q.Header.Set("Origin", origin)
		q.Header.Set("Access-Control-Request-Method", http.MethodGet)
		out = append(out, q)
	}
	return out
}
