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

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/witness"
	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
)

// paths gives those by which the routes are told apart, the routes that differ before others.
func (t *rules) paths() []witness.Text {
	var order []int
	for _, hot := range []bool{true, false} {
		for i := range t.all {
			if t.hot.Has(i) == hot {
				order = append(order, i)
			}
		}
	}
	var patterns []witness.Pattern
	for _, i := range order {
		patterns = append(patterns, pathPattern(t.all[i].GetMatch()))
	}
	out := witness.NewSet(patterns).Texts(authz.PathForm, "/", "/any")
	for _, text := range out {
		for at, i := range text.Met {
			text.Met[at] = order[i]
		}
		slices.Sort(text.Met)
	}
	return out
}

// pathPattern gives the condition on the path.
func pathPattern(m *routev3.RouteMatch) witness.Pattern {
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
	return p
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

// headerValues gives values of a header that some routes ask for; nil for a request without it comes first, where there
// are such.
func (t *rules) headerValues(name string, some []int, r Request) []*string {
	var patterns []witness.Pattern
	for _, i := range some {
		route := t.all[i]
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

func (t *rules) queryValues(name string, some []int) []*string {
	var patterns []witness.Pattern
	for _, i := range some {
		for _, q := range t.all[i].GetMatch().GetQueryParameters() {
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
