package explain

import (
	"fmt"
	"net/http"
	"strings"

	mutation "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	cors "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	dynamichttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_forward_proxy/v3"
	fault "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	grpcstats "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	grpcweb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_web/v3"
	headermutation "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	jwt "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	filterstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// httpFilter passes one HTTP filter, and tells whether the request goes on to the next one.
func (x *exchange) httpFilter(f *hcm.HttpFilter) (on bool) {
	if f.GetDisabled() && !x.wanted(f.GetName()) {
		return true
	}
	packed := f.GetTypedConfig()
	switch {
	case packed.MessageIs(&router.Router{}):
		x.act()
		return false
	case packed.MessageIs(&fault.HTTPFault{}):
		settings := &fault.HTTPFault{}
		x.settings(f, settings)
		return x.injectFault(f.GetName(), settings)
	case packed.MessageIs(&cors.Cors{}):
		policy := x.corsPolicy(f)
		return policy == nil || x.crossOrigin(f.GetName(), policy)
	case packed.MessageIs(&filterstate.Config{}):
		x.findsHost(f.GetName())
		return true
	case f.GetName() == guardName:
		return x.guard(f.GetName(), packed)
	case packed.MessageIs(&jwt.JwtAuthentication{}):
		return true // checkToken has passed it
	case packed.MessageIs(&grpcstats.FilterConfig{}), packed.MessageIs(&dynamichttp.FilterConfig{}):
		return true // they change nothing that the client or the server sees
	case packed.MessageIs(&headermutation.HeaderMutation{}):
		m := &headermutation.HeaderMutation{}
		if packed.UnmarshalTo(m) == nil {
			x.mutate(f.GetName(), m.GetMutations())
		}
		return true
	case packed.MessageIs(&grpcweb.GrpcWeb{}):
		if strings.HasPrefix(x.headers["content-type"], "application/grpc-web") {
			x.headers["content-type"] = "application/grpc"
			x.requestHeaders = append(x.requestHeaders, HeaderChange{Name: "content-type", Value: "application/grpc", Do: "set"})
			x.step(StageFilter, f.GetName(), "translates gRPC-Web to gRPC", nil)
		}
		return true
	}
	if on, known := x.authorizeRequest(f.GetName(), packed); known {
		return on
	}
	x.unfollowed(f.GetName())
	return true
}

// unfollowed names a filter of which nobody knows here what it does: a program, or one that asks a server.
func (w *walk) unfollowed(name string) {
	w.unverified(name, "may answer by itself or change what follows; it is not followed")
}

// unverified adds a step of a filter that decides something which is not known here.
func (w *walk) unverified(name, text string) {
	w.step(StageFilter, name, text, nil)
	last := &w.answer.Steps[len(w.answer.Steps)-1]
	last.open = true
}

// mutate notes the headers that a filter sets and removes.
func (x *exchange) mutate(name string, m *headermutation.Mutations) {
	x.requestHeaders = append(x.requestHeaders, mutations(m.GetRequestMutations())...)
	x.responseHeaders = append(x.responseHeaders, mutations(m.GetResponseMutations())...)
	var lines []string
	for _, h := range told(mutations(m.GetRequestMutations())) {
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%s %s %s", h.Do, h.Name, h.Value), " "))
	}
	if len(lines)+len(told(mutations(m.GetResponseMutations()))) == 0 {
		return
	}
	x.step(StageFilter, name, "changes headers of the request and of the response", nil, lines...)
}

// told leaves out the headers by which proxies tell each other who they are, which no user asked for. An outcome in
// JSON has them.
func told(all []HeaderChange) []HeaderChange {
	var out []HeaderChange
	for _, h := range all {
		if !strings.HasPrefix(h.Name, "x-envoy-peer-metadata") {
			out = append(out, h)
		}
	}
	return out
}

func mutations(list []*mutation.HeaderMutation) []HeaderChange {
	var out []HeaderChange
	for _, m := range list {
		if name := m.GetRemove(); name != "" {
			out = append(out, changes(nil, []string{name})...)
		} else if h := m.GetAppend(); h != nil {
			out = append(out, changes([]*core.HeaderValueOption{h}, nil)...)
		}
	}
	return out
}

// settings reads those of a filter for the route: the route's before the virtual host's before the route
// configuration's before the filter's own. It tells whether there are any of the message's type.
func (x *exchange) settings(f *hcm.HttpFilter, m proto.Message) bool {
	name := f.GetName()
	for _, packed := range []interface {
		MessageIs(proto.Message) bool
		UnmarshalTo(proto.Message) error
	}{
		x.route.GetTypedPerFilterConfig()[name], x.vhost.GetTypedPerFilterConfig()[name],
		x.config.GetTypedPerFilterConfig()[name], f.GetTypedConfig(),
	} {
		if packed.MessageIs(m) {
			return packed.UnmarshalTo(m) == nil
		}
	}
	return false
}

// wanted tells whether a route, or what it is in, has settings for a filter, for which Envoy makes a filter that it
// would not make otherwise.
func (x *exchange) wanted(name string) bool {
	for _, settings := range []map[string]*anypb.Any{
		x.route.GetTypedPerFilterConfig(), x.vhost.GetTypedPerFilterConfig(), x.config.GetTypedPerFilterConfig(),
	} {
		if packed := settings[name]; packed != nil {
			switched := &routev3.FilterConfig{}
			return packed.UnmarshalTo(switched) != nil || !switched.GetDisabled()
		}
	}
	return false
}

// injectFault delays and aborts. A delay goes before an abort.
func (x *exchange) injectFault(name string, f *fault.HTTPFault) bool {
	for _, h := range f.GetHeaders() {
		if !headerMatches(h, x.headers) {
			return true
		}
	}
	o := &x.answer.Outcome
	if d := f.GetDelay().GetFixedDelay().AsDuration(); d > 0 {
		if p := percent(f.GetDelay().GetPercentage()); p > 0 {
			o.Delay = &Delay{d, p}
			x.routeStep(StageFilter, name, fmt.Sprintf("delays %g %% of the requests by %s", p, d))
			if p == 100 {
				x.flags = append(x.flags, "DI")
			}
		}
	}
	abort := f.GetAbort()
	p := percent(abort.GetPercentage())
	if abort == nil || p == 0 {
		return true
	}
	a := &Abort{Status: int(abort.GetHttpStatus()), Percent: p}
	if g, ok := abort.GetErrorType().(*fault.FaultAbort_GrpcStatus); ok {
		a.GRPC = &g.GrpcStatus
		a.Status = 200
	}
	o.Abort = a
	x.routeStep(StageFilter, name, fmt.Sprintf("aborts %g %% of the requests with %s", p, a.said()))
	if p < 100 {
		return true
	}
	x.flags = append(x.flags, "FI")
	x.answered(a.Status, strings.Join(x.flags, ","), "a fault is injected: "+a.said())
	return false
}

// percent gives a share in percent.
func percent(p *typev3.FractionalPercent) float64 {
	scale := map[typev3.FractionalPercent_DenominatorType]float64{
		typev3.FractionalPercent_HUNDRED: 1, typev3.FractionalPercent_TEN_THOUSAND: 1e2, typev3.FractionalPercent_MILLION: 1e4,
	}
	return min(100, float64(p.GetNumerator())/scale[p.GetDenominator()])
}

// corsPolicy gives the settings of a filter for CORS, or nil. Where it has none for the route, the fields count that
// routes and virtual hosts had for it before.
func (x *exchange) corsPolicy(f *hcm.HttpFilter) *cors.CorsPolicy {
	policy := &cors.CorsPolicy{}
	if x.settings(f, policy) {
		return policy
	}
	//lint:ignore SA1019 EnvoyFilters still write it
	for _, former := range []*routev3.CorsPolicy{x.route.GetRoute().GetCors(), x.vhost.GetCors()} {
		if former == nil {
			continue
		}
		policy.AllowOriginStringMatch, policy.ForwardNotMatchingPreflights = former.GetAllowOriginStringMatch(), former.GetForwardNotMatchingPreflights()
		policy.FilterEnabled = former.GetFilterEnabled()
		return policy
	}
	return nil
}

// crossOrigin answers preflight requests of the origins that a policy allows.
func (x *exchange) crossOrigin(name string, p *cors.CorsPolicy) bool {
	origin := x.headers["origin"]
	if origin == "" || !enabled(p.GetFilterEnabled()) {
		return true
	}
	allowed := false
	for _, m := range p.GetAllowOriginStringMatch() {
		allowed = allowed || stringMatches(m, origin)
	}
	preflight := x.request.method() == http.MethodOptions && x.headers["access-control-request-method"] != ""
	forwards := p.GetForwardNotMatchingPreflights() == nil || p.GetForwardNotMatchingPreflights().GetValue()
	switch {
	case preflight && allowed:
		x.answered(200, "", "the proxy itself answers the preflight request")
	case preflight && !forwards:
		x.answered(200, "", "the proxy itself answers the preflight request, of an origin that is not allowed")
	case allowed:
		x.routeStep(StageFilter, name, fmt.Sprintf("allows origin %s", origin))
		return true
	default:
		x.routeStep(StageFilter, name, fmt.Sprintf("does not allow origin %s: the browser will refuse the response", origin))
		return true
	}
	x.routeStep(StageFilter, name, x.answer.Outcome.Reason)
	return false
}

func enabled(r *core.RuntimeFractionalPercent) bool {
	return r == nil || percent(r.GetDefaultValue()) > 0
}
