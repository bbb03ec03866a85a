package explain

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

var unescapedSlashes = strings.NewReplacer("%2F", "/", "%2f", "/", "%5C", `\`, "%5c", `\`)

// plainNames does with headers whose names have underscores what the connection manager is told, and tells
// whether the request goes on.
func (x *exchange) plainNames() bool {
	action := x.manager.GetCommonHttpProtocolOptions().GetHeadersWithUnderscoresAction()
	if action == core.HttpProtocolOptions_ALLOW {
		return true
	}
	for _, name := range slices.Sorted(maps.Keys(x.headers)) {
		switch {
		case !strings.Contains(name, "_"):
		case action == core.HttpProtocolOptions_REJECT_REQUEST:
			x.refused(400, "", "the name of a header has an underscore")
			return false
		default:
			delete(x.headers, name)
			x.requestHeaders = append(x.requestHeaders, HeaderChange{Name: name, Do: "remove"})
		}
	}
	return true
}

// plainSlashes does with %2F and %5C in the path what the connection manager is told, and tells whether the
// request goes on.
func (x *exchange) plainSlashes() bool {
	p, _, _ := strings.Cut(x.path, "?")
	if unescapedSlashes.Replace(p) == p {
		return true
	}
	switch x.manager.GetPathWithEscapedSlashesAction() {
	case hcm.HttpConnectionManager_REJECT_REQUEST:
		x.refused(400, "", "the path has an escaped slash")
		return false
	case hcm.HttpConnectionManager_UNESCAPE_AND_REDIRECT:
		x.answered(307, "", "the path has an escaped slash")
		x.answer.Outcome.Location = x.normalized(x.path)
		return false
	}
	return true
}

// forwardsFor notes whom servers are told that the request is for.
func (x *exchange) forwardsFor() {
	if !x.manager.GetUseRemoteAddress().GetValue() {
		return
	}
	if x.hidesClient = !x.request.Source.IsValid(); !x.hidesClient {
		x.forwardedFor = x.request.Source.String()
		if before := x.headers["x-forwarded-for"]; before != "" {
			x.forwardedFor = before + "," + x.forwardedFor
		}
	}
}

// ownHeaders notes the headers of a request that the connection manager and a route add or take away by
// themselves. host is what the server sees.
func (x *exchange) ownHeaders(a *routev3.RouteAction, host string) {
	if a.GetAppendXForwardedHost() && host != x.host {
		x.requestHeaders = append(x.requestHeaders, HeaderChange{Name: "x-forwarded-host", Value: x.host, Do: "set"})
	}
	if x.manager.GetAppendXForwardedPort() && x.headers["x-forwarded-port"] == "" {
		x.requestHeaders = append(x.requestHeaders, HeaderChange{Name: "x-forwarded-port", Value: strconv.Itoa(int(x.request.Destination.Port())), Do: "set"})
	}
	sanitized := x.manager.GetForwardClientCertDetails() == hcm.HttpConnectionManager_SANITIZE
	if sanitized && x.headers["x-forwarded-client-cert"] != "" {
		x.requestHeaders = append(x.requestHeaders, HeaderChange{Name: "x-forwarded-client-cert", Do: "remove"})
	}
}
