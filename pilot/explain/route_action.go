package explain

import (
	"fmt"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/witness"
)

// blockAll is Istio's virtual host for hosts that are not known.
const blockAll = "block_all"

// act does what the route says, at the end of the filters.
func (x *exchange) act() {
	if x.unrouted != nil {
		x.unrouted()
		return
	}
	switch a := x.route.GetAction().(type) {
	case *routev3.Route_Redirect:
		x.redirect(a.Redirect)
	case *routev3.Route_DirectResponse:
		x.answered(int(a.DirectResponse.GetStatus()), strings.Join(x.flags, ","), "the route itself has the response")
		if x.vhost.GetName() == blockAll {
			x.refused(int(a.DirectResponse.GetStatus()), "", "the host is not known to the proxy, and outboundTrafficPolicy is REGISTRY_ONLY (BlackHole)")
		}
		body := a.DirectResponse.GetBody()
		x.answer.Outcome.Body = body.GetInlineString() + string(body.GetInlineBytes())
		x.routeStep(StageRoute, x.route.GetName(), fmt.Sprintf("answers %d itself", a.DirectResponse.GetStatus()))
	case *routev3.Route_Route:
		x.forwardTo(a.Route)
	default:
		x.refused(404, "NR", "the route has no action that is known here")
	}
}

var redirectStatus = map[routev3.RedirectAction_RedirectResponseCode]int{
	routev3.RedirectAction_MOVED_PERMANENTLY: 301, routev3.RedirectAction_FOUND: 302, routev3.RedirectAction_SEE_OTHER: 303,
	routev3.RedirectAction_TEMPORARY_REDIRECT: 307, routev3.RedirectAction_PERMANENT_REDIRECT: 308,
}

// redirect answers with another place. The host keeps its port unless the scheme or the port is another one.
func (x *exchange) redirect(r *routev3.RedirectAction) {
	scheme, host := x.scheme, x.host
	name, port := splitPort(host)
	if s := r.GetSchemeRedirect(); s != "" || r.GetHttpsRedirect() {
		if s == "" {
			s = "https"
		}
		if (scheme == "http" && port == ":80" || scheme == "https" && port == ":443") && r.GetPortRedirect() == 0 {
			host, port = name, ""
		}
		scheme = s
	}
	if h := r.GetHostRedirect(); h != "" {
		host, port = h, ""
	}
	if p := r.GetPortRedirect(); p != 0 {
		if port != "" {
			host = name
		}
		host = fmt.Sprintf("%s:%d", host, p)
	}
	path := x.path
	switch p := r.GetPathRewriteSpecifier().(type) {
	case *routev3.RedirectAction_PathRedirect:
		path = p.PathRedirect
		if _, query, ok := strings.Cut(x.path, "?"); ok && !r.GetStripQuery() && !strings.Contains(path, "?") {
			path += "?" + query
		}
	case *routev3.RedirectAction_PrefixRewrite:
		path = replacePrefix(x.route.GetMatch(), x.path, p.PrefixRewrite)
	case *routev3.RedirectAction_RegexRewrite:
		path = substitute(p.RegexRewrite.GetPattern().GetRegex(), p.RegexRewrite.GetSubstitution(), x.path)
	}
	x.answered(redirectStatus[r.GetResponseCode()], strings.Join(x.flags, ","), "the route redirects")
	x.answer.Outcome.Location = scheme + "://" + host + path
	x.routeStep(StageRoute, x.route.GetName(), "redirects to "+x.answer.Outcome.Location)
}

// forwardTo passes the request on.
func (x *exchange) forwardTo(a *routev3.RouteAction) {
	f := &Forward{Path: x.path, Host: x.host, Timeout: a.GetTimeout().AsDuration(), Retry: retry(a.GetRetryPolicy())}
	if a.GetTimeout() == nil {
		f.Timeout = defaultTimeout
	}
	switch {
	case a.GetPrefixRewrite() != "":
		f.Path = replacePrefix(x.route.GetMatch(), x.path, a.GetPrefixRewrite())
	case a.GetRegexRewrite() != nil:
		f.Path = substitute(a.GetRegexRewrite().GetPattern().GetRegex(), a.GetRegexRewrite().GetSubstitution(), x.path)
	}
	if h := a.GetHostRewriteLiteral(); h != "" {
		f.Host = h
	}
	f.Hash = hashKeys(a.GetHashPolicy())
	x.ownHeaders(a, f.Host)
	f.RequestHeaders = changes(x.route.GetRequestHeadersToAdd(), x.route.GetRequestHeadersToRemove())
	f.ResponseHeaders = changes(x.route.GetResponseHeadersToAdd(), x.route.GetResponseHeadersToRemove())
	for _, c := range []interface {
		GetRequestHeadersToAdd() []*core.HeaderValueOption
		GetRequestHeadersToRemove() []string
		GetResponseHeadersToAdd() []*core.HeaderValueOption
		GetResponseHeadersToRemove() []string
	}{x.vhost, x.config} {
		f.RequestHeaders = append(f.RequestHeaders, changes(c.GetRequestHeadersToAdd(), c.GetRequestHeadersToRemove())...)
		f.ResponseHeaders = append(f.ResponseHeaders, changes(c.GetResponseHeadersToAdd(), c.GetResponseHeadersToRemove())...)
	}
	f.filtered = len(x.requestHeaders)
	f.RequestHeaders, f.ResponseHeaders = append(x.requestHeaders, f.RequestHeaders...), append(f.ResponseHeaders, x.responseHeaders...)
	f.Clusters = x.destinations(a)
	x.routeStep(StageRoute, x.route.GetName(), "forwards to "+names(f.Clusters), x.forwarding(f)...)
	for _, m := range a.GetRequestMirrorPolicies() {
		p := 100.0
		if m.GetRuntimeFraction() != nil {
			p = percent(m.GetRuntimeFraction().GetDefaultValue())
		}
		if x.Clusters[m.GetCluster()] == nil {
			x.routeStep(StageMirror, m.GetCluster(), "the proxy has no such cluster: no copies are sent")
			continue
		}
		f.Mirrors = append(f.Mirrors, Mirror{m.GetCluster(), p, mirrored(f.Host, m)})
		x.routeStep(StageMirror, m.GetCluster(), fmt.Sprintf("gets a copy of %g %% of the requests; its responses are not waited for", p))
	}
	x.forward(f, true)
	o := &x.answer.Outcome
	o.Flags = strings.Join(append(x.flags, nonEmpty(o.Flags)...), ",")
}

// mirrored gives the host that a mirror sees.
func mirrored(host string, m *routev3.RouteAction_RequestMirrorPolicy) string {
	if m.GetHostRewriteLiteral() != "" {
		return m.GetHostRewriteLiteral()
	}
	if m.GetDisableShadowHostSuffixAppend() {
		return host
	}
	name, port := splitPort(host)
	return name + "-shadow" + port
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// destinations are the clusters of a route with their shares.
func (x *exchange) destinations(a *routev3.RouteAction) []Cluster {
	weighted := a.GetWeightedClusters().GetClusters()
	if len(weighted) == 0 {
		if h := a.GetClusterHeader(); h != "" {
			return []Cluster{{Name: x.headers[strings.ToLower(h)], Percent: 100}}
		}
		return []Cluster{{Name: a.GetCluster(), Percent: 100}}
	}
	var total uint32
	for _, c := range weighted {
		total += c.GetWeight().GetValue()
	}
	var out []Cluster
	for _, c := range weighted {
		if w := c.GetWeight().GetValue(); w > 0 {
			host := c.GetHostRewriteLiteral()
			if a.GetHostRewriteLiteral() != "" {
				host = "" // that of the whole route counts
			}
			out = append(out, Cluster{
				Name: c.GetName(), Percent: share(w, total), Host: host,
				RequestHeaders:  changes(c.GetRequestHeadersToAdd(), c.GetRequestHeadersToRemove()),
				ResponseHeaders: changes(c.GetResponseHeadersToAdd(), c.GetResponseHeadersToRemove()),
			})
		}
	}
	return out
}

// forwarding lists what is changed or limited on the way.
func (x *exchange) forwarding(f *Forward) []string {
	var out []string
	if f.Path != x.path {
		out = append(out, "the path becomes "+f.Path)
	}
	if f.Host != x.host {
		out = append(out, "the host becomes "+f.Host)
	}
	if f.Timeout > 0 {
		out = append(out, fmt.Sprintf("times out after %s", f.Timeout))
	}
	if f.Retry != nil {
		out = append(out, f.Retry.String())
	}
	for _, h := range told(f.RequestHeaders) {
		out = append(out, "request header: "+h.String())
	}
	for _, h := range told(f.ResponseHeaders) {
		out = append(out, "response header: "+h.String())
	}
	return out
}

// String says when a request is tried again, and how long each try may take.
func (r *Retry) String() string {
	out := fmt.Sprintf("is tried again up to %d times on %s", r.Attempts, r.On)
	if len(r.StatusCodes) > 0 {
		out += fmt.Sprintf(" %v", r.StatusCodes)
	}
	if r.PerTryTimeout > 0 {
		out += fmt.Sprintf(", each try for %s at most", r.PerTryTimeout)
	}
	return out
}

// String gives the change in one line.
func (h HeaderChange) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", h.Do, h.Name, h.Value))
}

func retry(p *routev3.RetryPolicy) *Retry {
	if p == nil || p.GetRetryOn() == "" || p.GetNumRetries() != nil && p.GetNumRetries().GetValue() == 0 {
		return nil
	}
	out := &Retry{On: p.GetRetryOn(), Attempts: 1, PerTryTimeout: p.GetPerTryTimeout().AsDuration(), StatusCodes: p.GetRetriableStatusCodes()}
	if n := p.GetNumRetries(); n != nil {
		out.Attempts = n.GetValue()
	}
	return out
}

func changes(add []*core.HeaderValueOption, remove []string) []HeaderChange {
	do := map[core.HeaderValueOption_HeaderAppendAction]string{
		core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD: "add", core.HeaderValueOption_ADD_IF_ABSENT: "add if absent",
		core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD: "set", core.HeaderValueOption_OVERWRITE_IF_EXISTS: "set if present",
	}
	var out []HeaderChange
	for _, name := range remove { // Envoy removes before it adds
		out = append(out, HeaderChange{Name: name, Do: "remove"})
	}
	for _, h := range add {
		out = append(out, HeaderChange{h.GetHeader().GetKey(), h.GetHeader().GetValue(), do[h.GetAppendAction()]})
	}
	return out
}

// replacePrefix puts another prefix in the place of what the route's path condition matched.
func replacePrefix(m *routev3.RouteMatch, path, prefix string) string {
	matched := justPath(path)
	switch s := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		matched = s.Prefix
	case *routev3.RouteMatch_PathSeparatedPrefix:
		matched = s.PathSeparatedPrefix
	}
	return prefix + path[min(len(matched), len(path)):]
}

// substitute replaces all matches of RE2's pattern in the path, not in the query.
func substitute(pattern, replacement, path string) string {
	only := justPath(path)
	return witness.Substitute(pattern, replacement, only) + path[len(only):]
}
