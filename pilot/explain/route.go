package explain

import (
	"fmt"
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
)

// missesShown is how many routes that did not match are named.
const missesShown = 20

// findRoute takes the first route that matches.
func (x *exchange) findRoute() {
	var misses []string
	for i, r := range x.vhost.GetRoutes() {
		why := x.miss(r.GetMatch())
		if why == "" {
			x.route, x.index = r, i
			x.routeStep(StageRoute, routeName(i, r), "matches "+describeMatch(r.GetMatch()), shorten(misses)...)
			return
		}
		name := routeName(i, r)
		if len(misses) < missesShown {
			name = x.routeAt(i, r)
		}
		misses = append(misses, fmt.Sprintf("%s: %s", name, why))
	}
	reason := fmt.Sprintf("no route of virtual host %s matches %s %s", x.vhost.GetName(), x.request.method(), x.path)
	x.step(StageRoute, "", reason, x.vhost.GetMetadata(), shorten(misses)...)
	x.unfound(reason)
}

func routeName(i int, r *routev3.Route) string {
	if r.GetName() != "" {
		return fmt.Sprintf("%s (route %d)", r.GetName(), i)
	}
	return fmt.Sprintf("route %d", i)
}

func shorten(misses []string) []string {
	if more := len(misses) - missesShown; more > 0 {
		return append(misses[:missesShown:missesShown], fmt.Sprintf("and %d more did not match", more))
	}
	return misses
}

// miss says which condition does not hold; empty where all hold.
func (x *exchange) miss(m *routev3.RouteMatch) string {
	p := justPath(x.path)
	if !pathMatches(m, p) {
		return fmt.Sprintf("`%s` did not match `%s`", describePath(m), p)
	}
	for _, h := range m.GetHeaders() {
		if !headerMatches(h, x.headers) {
			value, ok := x.headers[strings.ToLower(h.GetName())]
			if !ok {
				return fmt.Sprintf("`%s` did not match: the request has no such header", describeHeader(h))
			}
			return fmt.Sprintf("`%s` did not match `%s`", describeHeader(h), value)
		}
	}
	query := firstValues(x.path)
	for _, q := range m.GetQueryParameters() {
		value, ok := query[q.GetName()]
		switch {
		case q.GetStringMatch() != nil && (!ok || !stringMatches(q.GetStringMatch(), value)), q.GetStringMatch() == nil && ok != presence(q):
			return fmt.Sprintf("`%s` did not match `%s`", describeQuery(q), value)
		}
	}
	for _, c := range m.GetDynamicMetadata() {
		if c.GetFilter() != httpfilter.JWT {
			return "it asks for metadata of a filter that is not known here"
		}
		if value := x.noted(c); claimMatches(c.GetValue(), value) == c.GetInvert() {
			if value == nil {
				return fmt.Sprintf("`%s` did not match: no valid token has such a claim", describeClaim(c))
			}
			return fmt.Sprintf("`%s` did not match `%v`", describeClaim(c), value)
		}
	}
	switch grpc := strings.HasPrefix(x.headers["content-type"], "application/grpc"); {
	case m.GetGrpc() != nil && !grpc:
		return "it is for gRPC"
	case m.GetTlsContext() != nil || m.GetRuntimeFraction() != nil || len(m.GetFilterState())+len(m.GetCookies()) > 0:
		return "it has a condition that is not known here (TLS context, runtime, filter state or cookie)"
	}
	return ""
}

func presence(q *routev3.QueryParameterMatcher) bool {
	if p, ok := q.GetQueryParameterMatchSpecifier().(*routev3.QueryParameterMatcher_PresentMatch); ok {
		return p.PresentMatch
	}
	return true
}

// firstValues gives each parameter's first value, as it stands.
func firstValues(path string) map[string]string {
	out := map[string]string{}
	_, query, _ := strings.Cut(path, "?")
	query, _, _ = strings.Cut(query, "#")
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if _, ok := out[name]; !ok && name != "" {
			out[name] = value
		}
	}
	return out
}

// pathMatches compares the path, without the query. A match without a condition on it is of a kind that is not known.
func pathMatches(m *routev3.RouteMatch, p string) bool {
	switch m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix, *routev3.RouteMatch_Path, *routev3.RouteMatch_PathSeparatedPrefix, *routev3.RouteMatch_SafeRegex:
		return pathPattern(m).Match(p)
	}
	return false
}

// headerMatches compares one header (HeaderUtility::HeaderData of Envoy): an inverted match of a header
// that is missing fails, unless it counts as empty.
func headerMatches(h *routev3.HeaderMatcher, headers map[string]string) bool {
	value, ok := headers[strings.ToLower(h.GetName())]
	if p, present := h.GetHeaderMatchSpecifier().(*routev3.HeaderMatcher_PresentMatch); present || h.GetHeaderMatchSpecifier() == nil {
		want := !present || p.PresentMatch
		return (ok == want) != h.GetInvertMatch()
	}
	if !ok && !h.GetTreatMissingHeaderAsEmpty() {
		return false
	}
	var holds bool
	switch s := h.GetHeaderMatchSpecifier().(type) {
	case *routev3.HeaderMatcher_StringMatch:
		holds = stringMatches(s.StringMatch, value)
	case *routev3.HeaderMatcher_RangeMatch:
		n, err := strconv.ParseInt(value, 10, 64)
		holds = err == nil && n >= s.RangeMatch.GetStart() && n < s.RangeMatch.GetEnd()
	}
	return holds != h.GetInvertMatch()
}

// stringMatches compares a text; a matcher of a kind that is not known takes none.
func stringMatches(m *matcher.StringMatcher, value string) bool {
	switch m.GetMatchPattern().(type) {
	case *matcher.StringMatcher_Exact, *matcher.StringMatcher_Prefix, *matcher.StringMatcher_Suffix,
		*matcher.StringMatcher_Contains, *matcher.StringMatcher_SafeRegex:
		return stringPattern(m).Match(value)
	}
	return false
}
