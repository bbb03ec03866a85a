package explain

import (
	"fmt"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

// hashKeys says what of a request servers are chosen by, in clusters that hash.
func hashKeys(all []*routev3.RouteAction_HashPolicy) []string {
	var out []string
	for _, p := range all {
		switch s := p.GetPolicySpecifier().(type) {
		case *routev3.RouteAction_HashPolicy_Header_:
			out = append(out, "by header "+s.Header.GetHeaderName())
		case *routev3.RouteAction_HashPolicy_Cookie_:
			out = append(out, "by cookie "+s.Cookie.GetName())
		case *routev3.RouteAction_HashPolicy_QueryParameter_:
			out = append(out, "by query parameter "+s.QueryParameter.GetName())
		case *routev3.RouteAction_HashPolicy_ConnectionProperties_:
			out = append(out, clientHash)
		default:
			out = append(out, fmt.Sprintf("by %T, which is not known here", s))
		}
	}
	return out
}

// clientHash is the key that connections have as requests do.
const clientHash = "by the client's address"

// connectionHash says what of a connection servers are chosen by.
func connectionHash(all []*typev3.HashPolicy) []string {
	var out []string
	for _, p := range all {
		if p.GetSourceIp() != nil {
			out = append(out, clientHash)
		}
	}
	return out
}
