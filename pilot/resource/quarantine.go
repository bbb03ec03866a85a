package resource

import (
	"maps"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	headermutation "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	headermetadata "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_to_metadata/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Without gives the resource with something else in the place of some of its parts. That is the former
// resource's version of the part, where it answers for the same and denies as much. Else it is what
// denies everything: a virtual host that answers 503 for the same domains, or a filter chain that closes
// the connections of the same match. Nothing takes the place of a patch.
func (p *Parts) Without(out []int, former *Parts) (*Resource, error) {
	fields := slices.Clone(p.fields)
	taken := map[string]struct{}{} // what the other parts answer for
	for i, x := range p.parts {
		if !slices.Contains(out, i) {
			take(taken, x.answers)
		}
	}
	for _, i := range out {
		x := p.parts[i]
		field, err := p.instead(x, former, taken)
		if err != nil {
			return nil, err
		}
		fields[x.field] = field
		take(taken, x.answers)
	}
	r := &Resource{Type: p.of.Type, Name: p.of.Name}
	r.finish(slices.Concat(fields...))
	return r, nil
}

func take(taken map[string]struct{}, answers []string) {
	for _, a := range answers {
		taken[a] = struct{}{}
	}
}

// instead gives the field that stands in a part's place; nil where others answer for all that it does,
// which is what Envoy may have refused.
func (p *Parts) instead(x part, former *Parts, taken map[string]struct{}) ([]byte, error) {
	var free []string
	for _, a := range x.answers {
		if _, other := taken[a]; !other && !slices.Contains(free, a) {
			free = append(free, a)
		}
	}
	if len(free) == 0 {
		return nil, nil
	}
	if was := former.stays(x); was != nil && len(free) == len(x.answers) {
		return former.fields[was.field], nil
	}
	if p.of.Type == BootstrapPatches {
		return nil, nil
	}
	number, _, _ := protowire.ConsumeTag(p.fields[x.field])
	f, err := FragmentOf(number, denying(x.body, free))
	return f.Field, err
}

// Instead tells users what stands in the place of a part that is left out.
func (p *Parts) Instead(i int, former *Parts) string {
	switch {
	case p.Stays(i, former):
		return "stays as it was accepted last"
	case p.of.Type == BootstrapPatches:
		return "is left out"
	}
	return "denies everything"
}

// Stays tells whether the former resource has what may stand in the place of a part.
func (p *Parts) Stays(i int, former *Parts) bool { return former.stays(p.parts[i]) != nil }

// stays gives the version of a part that answers for the same and denies as much, or nil.
func (p *Parts) stays(like part) *part {
	if was := p.find(like); was != nil && deniesAsMuch(was.body, like.body) {
		return was
	}
	return nil
}

// denying gives what denies everything that a part answers for. It says nothing of why, which is not for
// callers to know.
func denying(m proto.Message, domains []string) proto.Message {
	switch m := m.(type) {
	case *routev3.VirtualHost:
		return &routev3.VirtualHost{Name: m.GetName(), Domains: domains, Routes: []*routev3.Route{{
			Name:   "quarantined",
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 503}},
		}}}
	case *listenerv3.FilterChain: // without filters "the connection will close by default" (its API)
		return &listenerv3.FilterChain{Name: m.GetName(), FilterChainMatch: m.GetFilterChainMatch()}
	}
	return m
}

// deniesAsMuch tells whether a former version of a part has all that may deny something in the next.
func deniesAsMuch(former, next proto.Message) bool {
	has := denials(former)
	for what, n := range denials(next) {
		if has[what] < n {
			return false
		}
	}
	return true
}

// deniers are the filters that may keep a request, or what a caller says of itself, from the application: all such that
// the control plane makes, and what else Envoy has to find out who may do something. What an EnvoyFilter puts in beside
// these, as Lua or a rate limit, is no policy. A refused one does not close what was open: what was accepted goes on, as
// Istio's proxies have it.
var deniers = []string{
	"envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
	"envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuthPerRoute",
	"envoy.extensions.filters.http.basic_auth.v3.BasicAuth",
	"envoy.extensions.filters.http.basic_auth.v3.BasicAuthPerRoute",
	"envoy.extensions.filters.http.csrf.v3.CsrfPolicy",
	"envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig",
	"envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig",
	"envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
	"envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
	"envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
	"envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
	"envoy.extensions.filters.http.header_to_metadata.v3.Config",
	"envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
	"envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
	"envoy.extensions.filters.http.oauth2.v3.OAuth2",
	"envoy.extensions.filters.http.rbac.v3.RBAC",
	"envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
	"envoy.extensions.filters.network.ext_authz.v3.ExtAuthz",
	"envoy.extensions.filters.network.rbac.v3.RBAC",
	"envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
}

// peerPrefix begins the names of the headers in which Istio's proxies say who they are.
const peerPrefix = "x-envoy-peer-metadata"

// aboutPeers tells whether a filter only moves what proxies say of themselves, for metrics. The same filters
// with other headers may be there to keep a caller's word from the application.
func aboutPeers(a *anypb.Any) bool {
	var headers []string
	m, err := a.UnmarshalNew()
	if err != nil {
		return false
	}
	switch m := m.(type) {
	case *headermetadata.Config:
		for _, r := range slices.Concat(m.GetRequestRules(), m.GetResponseRules()) {
			headers = append(headers, r.GetHeader())
		}
	case *headermutation.HeaderMutation:
		all := m.GetMutations()
		for _, x := range slices.Concat(all.GetRequestMutations(), all.GetResponseMutations()) {
			headers = append(headers, x.GetRemove()+x.GetAppend().GetHeader().GetKey())
		}
	}
	return len(headers) > 0 && !slices.ContainsFunc(headers, func(h string) bool { return !strings.HasPrefix(h, peerPrefix) })
}

// denials counts what may deny something in a part, by what it is.
func denials(m proto.Message) map[string]int {
	out := map[string]int{}
	filter := func(a *anypb.Any) {
		if _, typ, _ := strings.Cut(a.GetTypeUrl(), "/"); slices.Contains(deniers, typ) && !aboutPeers(a) {
			out[typ]++
		}
	}
	switch m := m.(type) {
	case *routev3.VirtualHost:
		denialsOfRoutes(out, filter, m)
	case *listenerv3.FilterChain:
		if m.GetTransportSocket() != nil {
			out["TLS"]++
			tls := &tlsv3.DownstreamTlsContext{}
			if m.GetTransportSocket().GetTypedConfig().UnmarshalTo(tls) == nil && tls.GetRequireClientCertificate().GetValue() {
				out["client certificates"]++
			}
		}
		for _, f := range m.GetFilters() {
			filter(f.GetTypedConfig())
			manager := &hcmv3.HttpConnectionManager{}
			if f.GetTypedConfig().UnmarshalTo(manager) != nil {
				continue
			}
			for _, h := range manager.GetHttpFilters() {
				filter(h.GetTypedConfig())
			}
			for _, vh := range manager.GetRouteConfig().GetVirtualHosts() {
				denialsOfRoutes(out, filter, vh)
			}
		}
	}
	return out
}

// denialsOfRoutes counts what may deny something in a virtual host.
func denialsOfRoutes(out map[string]int, filter func(*anypb.Any), vh *routev3.VirtualHost) {
	out["https"] += int(vh.GetRequireTls())
	for a := range maps.Values(vh.GetTypedPerFilterConfig()) {
		filter(a)
	}
	for _, r := range vh.GetRoutes() {
		for a := range maps.Values(r.GetTypedPerFilterConfig()) {
			filter(a)
		}
	}
}
