package explain

import (
	"fmt"
	"net"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/spelling"
)

// exchange is one HTTP request in a connection manager.
type exchange struct {
	*walk
	manager *hcm.HttpConnectionManager
	scheme  string
	host    string            // as routes compare it
	path    string            // normalized, with the query
	headers map[string]string // by name in lower case
	claims  map[string]any    // of the valid token, as routes see them; nil for none
	valid   map[string]any    // claims of the valid token, as policies see them
	// requestHeaders and responseHeaders are what filters change on the way.
	requestHeaders, responseHeaders []HeaderChange
	config                          *routev3.RouteConfiguration
	vhost                           *routev3.VirtualHost
	route                           *routev3.Route
	index                           int      // of the route in the virtual host
	flags                           []string // of filters that the request passed
	// unrouted is what the router answers where there is no route; nil where there is one.
	unrouted func()
}

// http passes a connection manager: what it refuses by itself, routing, and its filters, of which the last acts on
// what routing came to.
func (w *walk) http(m *hcm.HttpConnectionManager) {
	x := &exchange{walk: w, manager: m, scheme: "http", host: w.request.Host, path: w.request.Path}
	if w.request.TLS != nil {
		x.scheme = "https"
	}
	if !x.admitted() {
		return
	}
	hosted := x.configured() && x.findVirtualHost() && !x.redirectedToTLS()
	if !x.checkToken() {
		return
	}
	if hosted {
		x.findRoute()
	}
	x.forwardsFor()
	for _, f := range m.GetHttpFilters() {
		if !x.httpFilter(f) {
			return
		}
	}
}

// admitted checks what a connection manager refuses before it looks for a route, and brings host and path
// into the form that routes compare.
func (x *exchange) admitted() bool {
	switch {
	case x.request.Protocol == HTTP10 && !x.manager.GetHttpProtocolOptions().GetAcceptHttp_10():
		x.refused(426, "", "the proxy does not take HTTP/1.0")
		return false
	case x.host == "" && x.request.Protocol != HTTP10:
		x.refused(400, "", "the request names no host")
		return false
	}
	if x.manager.GetStripTrailingHostDot() {
		name, port := splitPort(x.host)
		x.host = strings.TrimSuffix(name, ".") + port
	}
	x.headers = x.request.headers(x.scheme)
	if !x.plainNames() || !x.plainSlashes() {
		return false
	}
	x.path = x.normalized(x.path)
	x.headers[":authority"], x.headers[":path"] = x.host, x.path
	return true
}

// normalized brings the path into the form of the connection manager's settings.
func (x *exchange) normalized(full string) string {
	m := x.manager
	n := ir.PathNormalization{MergeSlashes: m.GetMergeSlashes(), Normalize: m.GetNormalizePath().GetValue() && strings.HasPrefix(full, "/")}
	switch m.GetPathWithEscapedSlashesAction() {
	case hcm.HttpConnectionManager_UNESCAPE_AND_FORWARD, hcm.HttpConnectionManager_UNESCAPE_AND_REDIRECT:
		n.EscapedSlashes = ir.SlashesUnescaped
	}
	return authz.Normalize(full, n)
}

// leadsNowhere has the router answer by itself. Filters before it go by their own settings, as no route has any.
func (x *exchange) leadsNowhere(answer func()) {
	x.unrouted, x.vhost, x.config = answer, nil, nil
}

// unfound has the router answer 404. Envoy's filter for external authorization does nothing without a route.
func (x *exchange) unfound(reason string) {
	x.unasked = true
	x.leadsNowhere(func() { x.refused(404, strings.Join(append(x.flags, "NR"), ","), reason) })
}

// configured finds the route configuration.
func (x *exchange) configured() bool {
	x.config = x.routesOf(x.manager)
	if name := x.manager.GetRds().GetRouteConfigName(); name != "" && x.config == nil {
		reason := fmt.Sprintf("the proxy has no route configuration %q", name)
		x.step(StageVirtualHost, name, reason, nil)
		x.unfound(reason)
		return false
	}
	return true
}

// findVirtualHost finds the virtual host that has the host among its domains.
func (x *exchange) findVirtualHost() bool {
	host := strings.ToLower(x.host)
	if x.config.GetIgnorePortInHostMatching() {
		host, _ = splitPort(host)
	}
	found, best := x.shortcut.domains(x.config).find(host)
	x.vhost = x.shortcut.shortened(found)
	if x.vhost == nil {
		reason := fmt.Sprintf("no virtual host of %s has the domain %s", x.config.GetName(), host)
		x.step(StageVirtualHost, "", reason, nil, x.nearestDomains(host)...)
		x.unfound(reason)
		return false
	}
	x.stepOf(StageVirtualHost, x.vhost.GetName(), fmt.Sprintf("has the domain %s, which matches %s best in route configuration %s", best, x.request.Host, x.config.GetName()), x.hostPart(x.vhost), x.patched(x.config, x.vhost)...)
	return true
}

// domainRank is 0 where a domain does not match.
func domainRank(domain, host string) int {
	const exact, suffix, prefix = 3 << 20, 2 << 20, 1 << 20
	switch {
	case domain == host:
		return exact
	case domain == "*":
		return 1
	case strings.HasPrefix(domain, "*") && len(host) >= len(domain) && strings.HasSuffix(host, domain[1:]):
		return suffix + len(domain)
	case strings.HasSuffix(domain, "*") && len(host) >= len(domain) && strings.HasPrefix(host, domain[:len(domain)-1]):
		return prefix + len(domain)
	}
	return 0
}

// nearestDomains names those that come closest, for who reads the steps.
func (x *exchange) nearestDomains(host string) []string {
	if x.shortcut != nil {
		return nil
	}
	var all []string
	for _, vh := range x.config.GetVirtualHosts() {
		all = append(all, vh.GetDomains()...)
	}
	var out []string
	for _, d := range spelling.Nearest(host, all) {
		out = append(out, fmt.Sprintf("domain %s did not match %s", d, host))
	}
	return out
}

// splitPort cuts the port, with its colon, off a host.
func splitPort(host string) (name, port string) {
	if n, p, err := net.SplitHostPort(host); err == nil && p != "" {
		if strings.HasPrefix(host, "[") {
			n = "[" + n + "]"
		}
		return n, ":" + p
	}
	return host, ""
}

// redirectedToTLS has the router redirect requests in the clear to a virtual host that wants TLS.
func (x *exchange) redirectedToTLS() bool {
	proto := x.scheme
	if p := x.headers["x-forwarded-proto"]; p != "" && !x.manager.GetUseRemoteAddress().GetValue() {
		proto = p
	}
	if x.vhost.GetRequireTls() == routev3.VirtualHost_NONE || strings.EqualFold(proto, "https") {
		return false
	}
	vhost := x.vhost
	x.leadsNowhere(func() {
		x.answered(301, strings.Join(x.flags, ","), "the virtual host is for https only")
		x.answer.Outcome.Location = "https://" + x.request.Host + x.path
		part := Part{Object: source(vhost.GetMetadata())}
		if x.HTTPSOnlyBy != nil {
			part = x.HTTPSOnlyBy(x.request.Destination.Port(), vhost.GetDomains())
		}
		x.stepOf(StageRoute, vhost.GetName(), "redirects to "+x.answer.Outcome.Location, part)
	})
	return true
}

// justPath is the path without the query and the fragment.
func justPath(full string) string {
	if i := strings.IndexAny(full, "?#"); i >= 0 {
		return full[:i]
	}
	return full
}
