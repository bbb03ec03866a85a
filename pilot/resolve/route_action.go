package resolve

import (
	"cmp"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// prefixOf, at the start of a redirect's uri, keeps the rest of the path behind the matched prefix.
const prefixOf = "%PREFIX()%"

func (s *ruleSet) redirect(r *networking.HTTPRedirect) *ir.Redirect {
	out := &ir.Redirect{
		Authority: r.GetAuthority(), Scheme: r.GetScheme(), Code: cmp.Or(r.GetRedirectCode(), 301),
		Path: r.GetUri(), PrefixRewrite: r.GetPrefixRewrite(), Port: r.GetPort(),
	}
	if rest, ok := strings.CutPrefix(r.GetUri(), prefixOf); ok {
		out.Path, out.PrefixRewrite = "", rest
	}
	if r.GetDerivePort() == networking.HTTPRedirect_FROM_REQUEST_PORT {
		out.Port = s.port
	}
	switch scheme := cmp.Or(r.GetScheme(), s.scheme()); {
	case scheme == "http" && out.Port == 80, scheme == "https" && out.Port == 443:
		out.Port = 0 // a URL names no port that its scheme stands for
	}
	return out
}

// scheme is that of the URLs by which clients ask here.
func (s *ruleSet) scheme() string {
	if s.secure {
		return "https"
	}
	return "http"
}

func directResponse(d *networking.HTTPDirectResponse) *ir.DirectResponse {
	body := d.GetBody().GetBytes()
	if text := d.GetBody().GetString_(); text != "" {
		body = []byte(text)
	}
	return &ir.DirectResponse{Status: d.GetStatus(), Body: body}
}

// rewrite changes path and host on the way upstream.
func rewrite(r *networking.HTTPRewrite, out *ir.Forward) {
	out.Authority, out.PrefixRewrite = cmp.Or(r.GetAuthority(), out.Authority), r.GetUri()
	if regex := r.GetUriRegexRewrite(); regex != nil {
		out.RegexRewrite = &ir.RegexRewrite{Pattern: regex.GetMatch(), Substitution: regex.GetRewrite()}
	}
}
