package validate

import (
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// unmatched tells, of values that no request or connection ever has, what to write in their place; "" of all others. Its
// keys are fields of AuthorizationPolicies without their "not", and keys of conditions.
func unmatched() map[string]func(v string) string {
	return map[string]func(v string) string{
		"principals": identityText, "source.principal": identityText,
		"namespaces": namespaceText, "source.namespace": namespaceText,
		"requestPrincipals": subjectText, "request.auth.principal": subjectText,
		"hosts": hostText, "methods": methodText, "paths": pathBegins,
	}
}

func identityText(v string) string {
	if _, rest, ok := strings.Cut(v, "://"); ok {
		return "an identity stands without its scheme; write " + rest
	}
	if !strings.ContainsAny(v, "/*") {
		return "an identity is TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT; write that, or */sa/" + v
	}
	return ""
}

func namespaceText(v string) string {
	if at := strings.LastIndexByte(v, '/'); at >= 0 {
		return "the name of a namespace has no slash; write " + v[at+1:]
	}
	return ""
}

func subjectText(v string) string {
	if !strings.ContainsAny(v, "/*") {
		return "the principal of a token is ISSUER/SUBJECT; write both, or */" + v
	}
	return ""
}

func hostText(v string) string {
	if _, rest, ok := strings.Cut(v, "://"); ok {
		host, _, _ := strings.Cut(rest, "/")
		return "a host has no scheme; write " + host
	}
	if host, _, ok := strings.Cut(v, "/"); ok {
		return "a host has no path; write " + host + ", and the path in paths"
	}
	return ""
}

func methodText(v string) string {
	if upper := strings.ToUpper(v); upper != v {
		return "methods are compared letter by letter, and all usual ones are in upper case; write " + upper
	}
	return ""
}

// pathBegins tells of what no path begins with, or has in it: a query is none of it.
func pathBegins(v string) string {
	switch path, _, query := strings.Cut(v, "?"); {
	case query:
		return "the query is no part of a path; write " + path
	case !strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "*"):
		return "a path begins with a slash; write /" + v
	}
	return ""
}

// neverMet warns of values of a list that nothing ever has. means says what they are: a field, or a condition's key.
func (c *checker) neverMet(field, means, v string) {
	what, not := strings.CutPrefix(means, "not")
	if not {
		what = strings.ToLower(what[:1]) + what[1:]
	}
	text := unmatched()[what]
	if text == nil {
		return
	}
	if instead := text(v); instead != "" {
		c.warn(field, "nothing ever has %q: %s", v, instead)
	}
}

// uriMatch warns of a path that no request has.
func (c *checker) uriMatch(path string, m *networking.StringMatch) {
	v, kind := m.GetExact(), ".exact"
	if m.GetPrefix() != "" {
		v, kind = m.GetPrefix(), ".prefix"
	}
	if v == "" || v == "*" { // the path of OPTIONS for a whole server
		return
	}
	if instead := pathBegins(v); instead != "" {
		c.warn(path+kind, "no request has %q: %s", v, instead)
	}
}
