package resolve

import (
	"cmp"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

var redirectCodes = []uint32{301, 302, 303, 307, 308}

// prefixOf, at the start of a redirect's uri, keeps the rest of the path behind the matched prefix.
const prefixOf = "%PREFIX()%"

func (s *ruleSet) redirect(field string, r *networking.HTTPRedirect) *ir.Redirect {
	out := &ir.Redirect{
		Authority: r.GetAuthority(), Scheme: r.GetScheme(), Code: r.GetRedirectCode(),
		Path: r.GetUri(), PrefixRewrite: r.GetPrefixRewrite(),
	}
	if rest, ok := strings.CutPrefix(r.GetUri(), prefixOf); ok && out.PrefixRewrite == "" {
		out.Path, out.PrefixRewrite = "", rest
	}
	if out.Code == 0 {
		out.Code = 301
	}
	if !slices.Contains(redirectCodes, out.Code) {
		s.invalid(field+".redirectCode", "the code of a redirect is 301, 302, 303, 307 or 308; the rule is left out")
	}
	if out.Path != "" && out.PrefixRewrite != "" {
		s.invalid(field, "uri and prefixRewrite exclude each other; the rule is left out")
	}
	out.Port = r.GetPort()
	if r.GetDerivePort() == networking.HTTPRedirect_FROM_REQUEST_PORT {
		out.Port = s.port
	}
	switch scheme := cmp.Or(strings.ToLower(r.GetScheme()), s.scheme()); {
	case scheme == "http" && out.Port == 80, scheme == "https" && out.Port == 443:
		out.Port = 0 // a URL names no port that its scheme stands for
	}
	if out.Port > 65535 {
		s.invalid(field+".port", "a port is at most 65535; the rule is left out")
	}
	s.singleLines(field, out.Authority, out.Scheme, out.Path, out.PrefixRewrite)
	return out
}

// scheme is that of the URLs by which clients ask here.
func (s *ruleSet) scheme() string {
	if s.secure {
		return "https"
	}
	return "http"
}

func (s *ruleSet) directResponse(field string, d *networking.HTTPDirectResponse) *ir.DirectResponse {
	if d.GetStatus() < 200 || d.GetStatus() > 599 {
		s.invalid(field+".status", "the status of a response is between 200 and 599; the rule is left out")
	}
	body := d.GetBody().GetBytes()
	if text := d.GetBody().GetString_(); text != "" {
		body = []byte(text)
	}
	if len(body) > ir.MaxDirectResponse {
		s.invalid(field+".body", "the body is larger than 1 MiB; the rule is left out")
	}
	return &ir.DirectResponse{Status: d.GetStatus(), Body: body}
}

// rewrite changes path and host on the way upstream.
func (s *ruleSet) rewrite(field string, r *networking.HTTPRewrite, out *ir.Forward) {
	regex := r.GetUriRegexRewrite()
	s.singleLines(field, r.GetUri(), r.GetAuthority(), regex.GetRewrite())
	out.Authority, out.PrefixRewrite = cmp.Or(r.GetAuthority(), out.Authority), r.GetUri()
	if regex == nil {
		return
	}
	if r.GetUri() != "" {
		s.invalid(field, "uri and uriRegexRewrite exclude each other; the rule is left out")
	}
	if s.regex(field+".uriRegexRewrite.match", regex.GetMatch()); !s.broken && !substitution(regex.GetMatch(), regex.GetRewrite()) {
		s.invalid(field+".uriRegexRewrite.rewrite", `a backslash stands before a group's number (\1) that match has, or before a backslash; the rule is left out`)
	}
	out.RegexRewrite = &ir.RegexRewrite{Pattern: regex.GetMatch(), Substitution: regex.GetRewrite()}
}
