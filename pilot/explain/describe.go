package explain

import (
	"fmt"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// The conditions of routes, in the words of a VirtualService.

// describeMatch names all conditions.
func describeMatch(m *routev3.RouteMatch) string {
	out := []string{"`" + describePath(m) + "`"}
	for _, h := range m.GetHeaders() {
		out = append(out, "`"+describeHeader(h)+"`")
	}
	for _, q := range m.GetQueryParameters() {
		out = append(out, "`"+describeQuery(q)+"`")
	}
	for _, c := range m.GetDynamicMetadata() {
		out = append(out, "`"+describeClaim(c)+"`")
	}
	return strings.Join(out, ", ")
}

func describePath(m *routev3.RouteMatch) string {
	var out string
	switch s := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		out = "uri: prefix " + s.Prefix
	case *routev3.RouteMatch_Path:
		out = "uri: exact " + s.Path
	case *routev3.RouteMatch_PathSeparatedPrefix:
		out = "uri: path prefix " + s.PathSeparatedPrefix
	case *routev3.RouteMatch_SafeRegex:
		out = "uri: regex " + s.SafeRegex.GetRegex()
	default:
		out = fmt.Sprintf("a path condition that is not known here (%T)", s)
	}
	if m.GetCaseSensitive() != nil && !m.GetCaseSensitive().GetValue() {
		out += " in any case"
	}
	return out
}

// vsFields are what a VirtualService calls pseudo-headers.
var vsFields = strings.NewReplacer(":method", "method", ":authority", "authority", ":scheme", "scheme")

func describeHeader(h *routev3.HeaderMatcher) string {
	name := vsFields.Replace(h.GetName())
	if name == h.GetName() {
		name = "header " + name
	}
	not := ""
	if h.GetInvertMatch() {
		not = "not "
	}
	switch s := h.GetHeaderMatchSpecifier().(type) {
	case *routev3.HeaderMatcher_StringMatch:
		return name + ": " + not + describeString(s.StringMatch)
	case *routev3.HeaderMatcher_RangeMatch:
		return fmt.Sprintf("%s: %sfrom %d to %d", name, not, s.RangeMatch.GetStart(), s.RangeMatch.GetEnd())
	}
	return name + ": " + not + "present"
}

func describeQuery(q *routev3.QueryParameterMatcher) string {
	if q.GetStringMatch() == nil {
		return "query parameter " + q.GetName() + ": present"
	}
	return "query parameter " + q.GetName() + ": " + describeString(q.GetStringMatch())
}

func describeString(m *matcher.StringMatcher) string {
	var out string
	switch p := m.GetMatchPattern().(type) {
	case *matcher.StringMatcher_Exact:
		out = "exact " + p.Exact
	case *matcher.StringMatcher_Prefix:
		out = "prefix " + p.Prefix
	case *matcher.StringMatcher_Suffix:
		out = "suffix " + p.Suffix
	case *matcher.StringMatcher_Contains:
		out = "contains " + p.Contains
	case *matcher.StringMatcher_SafeRegex:
		out = "regex " + p.SafeRegex.GetRegex()
	}
	if m.GetIgnoreCase() {
		out += " in any case"
	}
	return out
}
