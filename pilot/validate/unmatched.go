package validate

import (
	"net"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// unmatched tells, of values that no request or connection ever has, what to write in their place; "" of all others. Its
// keys are fields of AuthorizationPolicies without their "not", and keys of conditions.
func unmatched() map[string]func(v string) string {
	return map[string]func(v string) string{
		"principals": identityText, "source.principal": identityText,
		"namespaces": namespaceText, "source.namespace": namespaceText,
		"requestPrincipals": subjectText, "request.auth.principal": subjectText,
		"trustDomains": trustDomainText, "source.trustDomain": trustDomainText, "connection.sni": serverNameText,
		"hosts": hostText, "methods": methodText, "paths": pathBegins,
	}
}

// pseudoHeaders are the parts of the request line by the names of the headers that HTTP/2 has for them. The path as a
// header has the query, which that of a rule has not.
func pseudoHeaders() map[string]func(v string) string {
	return map[string]func(v string) string{
		":authority": hostText, ":method": methodText, ":scheme": schemeText,
		":path": func(v string) string {
			path, _, _ := strings.Cut(v, "?")
			return pathBegins(path)
		},
		":status": func(string) string { return "a request has no status, which is of responses" },
	}
}

// textOf gives the function for a field without its "not", or for the key of a condition; nil for none.
func textOf(means string) func(v string) string {
	if name, names, ok := model.BracketedKey(means); ok && name == "request.headers" {
		return pseudoHeaders()[strings.ToLower(names[0])]
	}
	return unmatched()[means]
}

func trustDomainText(v string) string {
	_, rest, schemed := strings.Cut(v, "://")
	if !schemed {
		rest = v
	}
	if domain, _, more := strings.Cut(rest, "/"); more || schemed {
		return "a trust domain has neither a scheme nor a slash; write " + domain
	}
	return ""
}

func serverNameText(v string) string {
	if host, port, err := net.SplitHostPort(v); err == nil && isPortText(port) {
		return "the name in a TLS handshake has no port; write " + host
	}
	return hostText(v)
}

func schemeText(v string) string {
	switch scheme := strings.ToLower(strings.TrimSuffix(v, "://")); {
	case scheme != v:
		return "a scheme is http or https; write " + scheme
	case !strings.HasPrefix("https", strings.TrimSuffix(v, "*")) && !strings.HasPrefix(v, "*"):
		return "a scheme is http or https"
	}
	return ""
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
	text := textOf(what)
	if text == nil {
		return
	}
	if instead := text(v); instead != "" {
		c.warn(field, "nothing ever has %q: %s", v, instead)
	}
}

// requestPart warns of values of a part of the request line that no request has.
func (c *checker) requestPart(path string, text func(v string) string, m *networking.StringMatch) {
	v, kind := m.GetExact(), ".exact"
	if m.GetPrefix() != "" {
		v, kind = m.GetPrefix(), ".prefix"
	}
	if v == "" || v == "*" { // the path of OPTIONS for a whole server
		return
	}
	if instead := text(v); instead != "" {
		c.warn(path+kind, "no request has %q: %s", v, instead)
	}
}
