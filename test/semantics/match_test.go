package semantics

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
)

// What the conditions of a match mean to a request.

// claimHeader is how a match names the claim of a token that the meshes ask for.
const claimHeader = "@request.auth.claims.group"

// first gives what the first route that takes a request does with it, "404" where none does.
func first(routes []*route, q *explain.Request) string {
	for _, r := range routes {
		if takes(r.match, q) {
			return r.do()
		}
	}
	return "404"
}

func takes(m *networking.HTTPMatchRequest, q *explain.Request) bool {
	if m == nil {
		return true
	}
	path, query, _ := strings.Cut(q.Path, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		panic(err) // the generator writes none
	}
	scheme := "http"
	if q.TLS != nil {
		scheme = "https"
	}
	ok := text(m.GetUri(), path, m.GetIgnoreUriCase()) && text(m.GetMethod(), q.Method, false) && text(m.GetAuthority(), q.Host, false) && text(m.GetScheme(), scheme, false)
	for name, want := range m.GetHeaders() {
		value, there := header(q, name)
		ok = ok && there && text(want, value, false)
	}
	for name, want := range m.GetWithoutHeaders() {
		// One that is not there has no value, whatever is asked. (To Istio it has an empty one.)
		value, there := header(q, name)
		ok = ok && !(there && text(want, value, false))
	}
	for name, want := range m.GetQueryParams() {
		ok = ok && values.Has(name) && text(want, values.Get(name), false)
	}
	return ok
}

// header gives a header of a request, or the claim that stands for one.
func header(q *explain.Request, name string) (value string, there bool) {
	if name == claimHeader {
		value, there = q.Claims["group"].(string)
		return value, there
	}
	values := q.Header[http.CanonicalHeaderKey(name)]
	return strings.Join(values, ","), len(values) > 0
}

// present tells that a match asks only whether something is there.
func present(m *networking.StringMatch) bool { return m.GetMatchType() == nil || m.GetRegex() == "*" }

func text(m *networking.StringMatch, value string, ignoreCase bool) bool {
	fold := func(s string) string {
		if ignoreCase {
			return strings.ToLower(s)
		}
		return s
	}
	if m == nil || present(m) {
		return true
	}
	switch m := m.GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		return fold(value) == fold(m.Exact)
	case *networking.StringMatch_Prefix:
		return strings.HasPrefix(fold(value), fold(m.Prefix))
	case *networking.StringMatch_Regex:
		return regexp.MustCompile("^(?:" + m.Regex + ")$").MatchString(value)
	}
	return true
}
