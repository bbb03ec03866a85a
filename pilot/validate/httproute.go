package validate

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func (c *checker) httpRoute(path string, r *networking.HTTPRoute, delegate bool) {
	c.action(path, r, delegate)
	for i, m := range r.GetMatch() {
		c.httpMatch(at(path+".match", i), m)
	}
	shares := make([]weighted, len(r.GetRoute()))
	for i := range r.GetRoute() {
		shares[i] = r.GetRoute()[i]
	}
	c.weights(path+".route", shares)
	c.redirect(path+".redirect", r.GetRedirect())
	c.prefixRedirect(path, r)
	c.oneAuthority(path, r)
	c.directResponse(path+".directResponse", r.GetDirectResponse())
	c.rewrite(path+".rewrite", r.GetRewrite())
	c.retries(path+".retries", r.GetRetries(), c.fail)
	c.fault(path+".fault", r.GetFault())
	c.cors(path+".corsPolicy", r.GetCorsPolicy())
	c.mirrors(path, r)
}

// action checks that a route does exactly one thing.
func (c *checker) action(path string, r *networking.HTTPRoute, delegate bool) {
	var actions []string
	for name, set := range map[string]bool{
		"route": len(r.GetRoute()) > 0, "redirect": r.GetRedirect() != nil,
		"directResponse": r.GetDirectResponse() != nil, "delegate": r.GetDelegate() != nil,
	} {
		if set {
			actions = append(actions, name)
		}
	}
	slices.Sort(actions)
	switch {
	case len(actions) == 0:
		c.fail(path, "does nothing; give it route, redirect, directResponse or delegate")
	case len(actions) > 1:
		c.fail(path, "has %s together; keep one of them", strings.Join(actions, " and "))
	}
	if d := r.GetDelegate(); d != nil {
		if delegate {
			c.fail(path+".delegate", "cannot be in a delegate, which is a VirtualService without hosts; delegate from the root only")
		}
		if d.GetName() == "" {
			c.missing(path + ".delegate.name")
		}
	}
	if r.GetRedirect() != nil || r.GetDirectResponse() != nil {
		if r.GetFault() != nil {
			c.fail(path+".fault", "cannot be together with redirect or directResponse; remove it")
		}
		if r.GetRewrite() != nil {
			c.fail(path+".rewrite", "cannot be together with redirect or directResponse; remove it")
		}
	}
}

func (c *checker) httpMatch(path string, m *networking.HTTPMatchRequest) {
	if m == nil {
		c.missing(path)
		return
	}
	for field, headers := range map[string]map[string]*networking.StringMatch{
		"headers": m.GetHeaders(), "withoutHeaders": m.GetWithoutHeaders(),
	} {
		for _, name := range sortedKeys(headers) {
			c.headerMatch(entry(path+"."+field, name), name)
			if text := pseudoHeaders()[strings.ToLower(name)]; text != nil {
				c.requestPart(entry(path+"."+field, name), text, headers[name])
			}
		}
	}
	for _, name := range sortedKeys(m.GetQueryParams()) {
		where := entry(path+".queryParams", name)
		if name == "" {
			c.fail(where, "has an empty name")
		}
	}
	c.requestPart(path+".uri", pathBegins, m.GetUri())
	c.requestPart(path+".method", methodText, m.GetMethod())
	c.requestPart(path+".authority", hostText, m.GetAuthority())
	c.requestPart(path+".scheme", schemeText, m.GetScheme())
	c.labels(path+".sourceLabels", m.GetSourceLabels())
	c.gatewayNames(path+".gateways", m.GetGateways())
}

// headerMatch checks the name of a header that is matched. No request has a header of a name that
// none can have, so such a match has no effect.
func (c *checker) headerMatch(path, name string) {
	switch name {
	case "":
		c.fail(path, "has an empty name")
		return
	case "uri", "scheme", "method", "authority":
		c.warn(path, "matches a header of that name; to match the request's %s use match.%s", name, name)
	}
	if model.IsClaim(name) {
		if _, ok := model.ClaimPath(name); !ok {
			c.warn(path, "%q names no claim, so no request has it; write @request.auth.claims.NAME, or @request.auth.claims[NAME] where names have dots", name)
		}
		return
	}
	if !isHeaderName(name) && !isPseudoHeader(name) {
		c.warn(path, "%q is no name of a header, so no request has it", name)
	}
}

// prefixRedirect refuses to exchange a prefix of what was not matched by prefix.
func (c *checker) prefixRedirect(path string, r *networking.HTTPRoute) {
	if r.GetRedirect().GetPrefixRewrite() == "" {
		return
	}
	for i, m := range r.GetMatch() {
		if uri := m.GetUri(); uri.GetExact() != "" || uri.GetRegex() != "" {
			c.fail(at(path+".match", i)+".uri", "is no prefix, which redirect.prefixRewrite needs; match by prefix, or use redirect.uri")
		}
	}
}

// oneAuthority refuses an authority that a rule sets in two ways. What a destination sets beside it does not count.
func (c *checker) oneAuthority(path string, r *networking.HTTPRoute) {
	if r.GetRewrite().GetAuthority() == "" {
		return
	}
	set := func(field string, h *networking.Headers, report func(field, format string, args ...any)) {
		op := h.GetRequest()
		for part, values := range map[string]map[string]string{"set": op.GetSet(), "add": op.GetAdd()} {
			for _, name := range sortedKeys(values) {
				if !isAuthority(name) {
					continue
				}
				report(entry(field+".headers.request."+part, name), "sets the authority, as rewrite.authority does, which counts; keep one of them")
			}
		}
	}
	set(path, r.GetHeaders(), c.fail)
	for i, d := range r.GetRoute() {
		set(at(path+".route", i), d.GetHeaders(), c.overridden)
	}
}

func (c *checker) redirect(path string, r *networking.HTTPRedirect) {
	if r == nil {
		return
	}
	if r.GetUri() != "" && r.GetPrefixRewrite() != "" {
		c.fail(path, "has uri and prefixRewrite together; keep one of them")
	}
	if r.GetUri() == "" && r.GetPrefixRewrite() == "" && r.GetAuthority() == "" && r.GetScheme() == "" && r.GetRedirectPort() == nil {
		c.fail(path, "leads back to where it came from; set uri, prefixRewrite, authority, scheme or port")
	}
	switch r.GetRedirectCode() {
	case 0, 301, 302, 303, 307, 308:
	default:
		c.fail(path+".redirectCode", "%d is no status of a redirect; use 301, 302, 303, 307 or 308", r.GetRedirectCode())
	}
	switch r.GetScheme() {
	case "", "http", "https":
	default:
		c.fail(path+".scheme", "%q is neither http nor https", r.GetScheme())
	}
}

func (c *checker) directResponse(path string, r *networking.HTTPDirectResponse) {
	if r == nil {
		return
	}
	if r.GetStatus() < 200 || r.GetStatus() > 599 {
		c.fail(path+".status", "%d is no status of a response; use 200 to 599", r.GetStatus())
	}
}

func (c *checker) rewrite(path string, r *networking.HTTPRewrite) {
	if r == nil {
		return
	}
	regex := r.GetUriRegexRewrite()
	switch {
	case r.GetUri() == "" && r.GetAuthority() == "" && regex == nil:
		c.fail(path, "rewrites nothing; set uri, uriRegexRewrite or authority")
	case r.GetUri() != "" && regex != nil:
		c.fail(path, "has uri and uriRegexRewrite together; keep one of them")
	}
	if regex == nil {
		return
	}
	if regex.GetMatch() == "" || regex.GetRewrite() == "" {
		c.fail(path+".uriRegexRewrite", "needs match and rewrite; set both")
		return
	}
	if problem := regexProblem(regex.GetMatch()); problem != "" {
		c.fail(path+".uriRegexRewrite.match", "%q %s", regex.GetMatch(), problem)
		return
	}
	groups := regexp.MustCompile(regex.GetMatch()).NumSubexp()
	if problem := substitutionProblem(regex.GetRewrite(), groups); problem != "" {
		c.fail(path+".uriRegexRewrite.rewrite", "%q %s", regex.GetRewrite(), problem)
	}
}

// substitutionProblem tells why RE2 would refuse a substitution: a backslash is followed by the
// number of a group, or by another backslash.
func substitutionProblem(text string, groups int) string {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++
		switch {
		case i == len(text):
			return "ends with a single backslash"
		case text[i] == '\\':
		case text[i] < '0' || text[i] > '9':
			return `has a backslash before something other than a digit or a backslash`
		case int(text[i]-'0') > groups:
			return "names group " + text[i:i+1] + ", but match has only " + strconv.Itoa(groups)
		}
	}
	return ""
}

func (c *checker) retries(path string, r *networking.HTTPRetry, report func(field, format string, args ...any)) {
	if r == nil {
		return
	}
	if r.GetAttempts() == 0 && (r.GetPerTryTimeout() != nil || r.GetRetryOn() != "" || r.GetBackoff() != nil || r.GetRetryRemoteLocalities() != nil) {
		report(path+".attempts", "is 0, which turns retries off, but other fields of retries are set; set attempts or remove them")
	}
	for condition := range strings.SplitSeq(r.GetRetryOn(), ",") {
		condition = strings.TrimSpace(condition)
		if code, err := strconv.ParseUint(condition, 10, 32); err == nil {
			if code < 100 || code > 599 {
				report(path+".retryOn", "%d is no HTTP status", code)
			}
		} else if condition != "" && !retryCondition(condition) {
			report(path+".retryOn", "%q is no condition that Envoy knows", condition)
		} else if condition == "" && r.GetRetryOn() != "" {
			report(path+".retryOn", "has an empty condition; remove the comma")
		}
	}
}

func retryCondition(name string) bool {
	switch name {
	case "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited",
		"retriable-4xx", "refused-stream", "retriable-status-codes", "retriable-headers", "http3-post-connect-failure",
		"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable":
		return true
	}
	return false
}

func (c *checker) fault(path string, f *networking.HTTPFaultInjection) {
	if f == nil {
		return
	}
	if f.GetDelay() == nil && f.GetAbort() == nil {
		c.fail(path, "does nothing; set delay or abort")
	}
	if d := f.GetDelay(); d != nil {
		switch d.GetHttpDelayType().(type) {
		case *networking.HTTPFaultInjection_Delay_FixedDelay: // its bound is checked by walk
		case *networking.HTTPFaultInjection_Delay_ExponentialDelay:
			c.fail(path+".delay.exponentialDelay", "is not supported by Envoy; use fixedDelay")
		default:
			c.warn(path+".delay", "does nothing; set fixedDelay")
		}
	}
	if a := f.GetAbort(); a != nil {
		switch t := a.GetErrorType().(type) {
		case *networking.HTTPFaultInjection_Abort_HttpStatus:
			if t.HttpStatus < 200 || t.HttpStatus > 599 {
				c.fail(path+".abort.httpStatus", "%d is no status of a response; use 200 to 599", t.HttpStatus)
			}
		case *networking.HTTPFaultInjection_Abort_GrpcStatus:
			if !grpcStatus(t.GrpcStatus) {
				c.fail(path+".abort.grpcStatus", "%q is no gRPC status; use a name such as UNAVAILABLE", t.GrpcStatus)
			}
		case *networking.HTTPFaultInjection_Abort_Http2Error:
			c.fail(path+".abort.http2Error", "is not supported by Envoy; use httpStatus or grpcStatus")
		default:
			c.warn(path+".abort", "does nothing; set httpStatus or grpcStatus")
		}
	}
}

func grpcStatus(name string) bool {
	switch name {
	case "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
		"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED":
		return true
	}
	return false
}

func (c *checker) cors(path string, p *networking.CorsPolicy) {
	if p == nil {
		return
	}
	for i, method := range p.GetAllowMethods() {
		switch method {
		case "*", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE":
		default:
			c.fail(at(path+".allowMethods", i), "%q is no HTTP method; use * or one such as GET, in capital letters", method)
		}
	}
	for field, names := range map[string][]string{"allowHeaders": p.GetAllowHeaders(), "exposeHeaders": p.GetExposeHeaders()} {
		for i, name := range names {
			if name != "*" && !isHeaderName(name) {
				c.fail(at(path+"."+field, i), "%q is no name of a header", name)
			}
		}
	}
	for i, origin := range p.GetAllowOrigins() {
		if origin.GetMatchType() == nil {
			c.missing(at(path+".allowOrigins", i))
		}
	}
}

func (c *checker) mirrors(path string, r *networking.HTTPRoute) {
	if r.GetMirror() != nil && len(r.GetMirrors()) > 0 {
		c.fail(path, "has mirror and mirrors together; keep mirrors")
	}
	for i, m := range r.GetMirrors() {
		if m.GetDestination() == nil {
			c.missing(at(path+".mirrors", i) + ".destination")
		}
	}
}
