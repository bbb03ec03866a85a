package resolve

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// match translates what of a match the request decides: it holds where one of those does that are given.
// A nil match takes every request.
func (s *ruleSet) match(field string, m *networking.HTTPMatchRequest) []ir.RouteMatch {
	one := s.oneMatch(field, m)
	if s.broken {
		return nil
	}
	out := withAbsent(one)
	if len(out) > maxAlternatives {
		s.invalid(field+".withoutHeaders", "more than three of the values match an empty header too; write several matches, until then this one is left out")
	}
	return out
}

// maxAlternatives bounds the routes that one match gives.
const maxAlternatives = 8

// withAbsent gives a match, and for each header that is not to have a value the same without that header
// at all. It is said apart where the value may be empty: Envoy then takes a missing header for one that
// has the value, and has no other way to say "missing, or another value".
func withAbsent(m ir.RouteMatch) []ir.RouteMatch {
	out := []ir.RouteMatch{m}
	for i, h := range m.Headers {
		if !h.Invert || !matchesEmpty(h.Value) || len(out) > maxAlternatives {
			continue
		}
		for _, other := range slices.Clone(out) {
			other.Headers = slices.Clone(other.Headers)
			other.Headers[i].Value = ir.StringMatch{Kind: ir.MatchPresent}
			out = append(out, other)
		}
	}
	return out
}

// matchesEmpty tells whether a value that is compared may be empty.
func matchesEmpty(m ir.StringMatch) bool {
	switch m.Kind {
	case ir.MatchExact:
		return m.Value == ""
	case ir.MatchRegex:
		return regexp.MustCompile(m.Value).MatchString("")
	}
	return false
}

func (s *ruleSet) oneMatch(field string, m *networking.HTTPMatchRequest) ir.RouteMatch {
	out := ir.RouteMatch{Path: s.pathMatch(field+".uri", m)}
	pseudo := func(name string, m *networking.StringMatch) {
		if m != nil {
			out.Headers = append(out.Headers, ir.HeaderMatch{Name: name, Value: stringMatch(m)})
		}
	}
	pseudo(":scheme", m.GetScheme())
	pseudo(":method", m.GetMethod())
	pseudo(":authority", m.GetAuthority())
	s.headerMatches(&out, field+".headers", m.GetHeaders(), false)
	s.headerMatches(&out, field+".withoutHeaders", m.GetWithoutHeaders(), true)
	for _, name := range slices.Sorted(maps.Keys(m.GetQueryParams())) {
		out.Query = append(out.Query, ir.QueryMatch{Name: name, Value: stringMatch(m.GetQueryParams()[name])})
	}
	return out
}

func (s *ruleSet) pathMatch(field string, m *networking.HTTPMatchRequest) ir.StringMatch {
	if p, ok := m.GetUri().GetMatchType().(*networking.StringMatch_Prefix); ok && p.Prefix == "" {
		return ir.StringMatch{Kind: ir.MatchPrefix} // of every path, unlike an empty prefix elsewhere
	}
	out := stringMatch(m.GetUri())
	if out.Kind == ir.MatchExact && out.Value == "" {
		s.invalid(field+".exact", "a path is never empty; write / or leave uri out, until then the match is left out")
	}
	out.IgnoreCase = m.GetIgnoreUriCase() && (out.Kind == ir.MatchExact || out.Kind == ir.MatchPrefix)
	return out
}

// headerMatches adds to a match what it asks of headers, and of claims, which are written as such.
func (s *ruleSet) headerMatches(to *ir.RouteMatch, field string, from map[string]*networking.StringMatch, invert bool) {
	for _, name := range slices.Sorted(maps.Keys(from)) {
		path, claim := model.ClaimPath(name)
		if invert && name != "" && !headerName(name) && !model.IsClaim(name) {
			continue // no request has it
		}
		if !claim && !headerName(name) {
			s.invalid(field+"["+name+"]", "this is no name of a header; the match is left out")
		}
		if v := stringMatch(from[name]); claim {
			to.Claims = append(to.Claims, ir.ClaimMatch{Path: path, Value: v, Invert: invert})
		} else {
			to.Headers = append(to.Headers, ir.HeaderMatch{Name: strings.ToLower(name), Value: v, Invert: invert})
		}
	}
}

// stringMatch translates a match; one that says nothing, or one of the regular expressions "*" and ".*",
// holds for every value that is present.
func stringMatch(m *networking.StringMatch) ir.StringMatch {
	switch v := m.GetMatchType().(type) {
	case *networking.StringMatch_Exact:
		return ir.StringMatch{Kind: ir.MatchExact, Value: v.Exact}
	case *networking.StringMatch_Prefix:
		return ir.StringMatch{Kind: ir.MatchPrefix, Value: v.Prefix}
	case *networking.StringMatch_Regex:
		if v.Regex != "*" && v.Regex != ".*" {
			return ir.StringMatch{Kind: ir.MatchRegex, Value: v.Regex}
		}
	}
	return ir.StringMatch{Kind: ir.MatchPresent}
}

// maxRegex bounds patterns, in bytes: a program that is too large fails in Envoy only.
const maxRegex = 1024

// headerName tells whether a name can be that of a header: a token (RFC 9110), or a pseudo-header.
func headerName(name string) bool {
	name = strings.TrimPrefix(name, ":")
	return name != "" && strings.IndexFunc(name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", c))
	}) < 0
}

// singleLine tells whether a value has nothing that would end a header.
func singleLine(v string) bool { return !strings.ContainsAny(v, "\r\n\x00") }
