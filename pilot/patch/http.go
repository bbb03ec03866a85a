package patch

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	networking "istio.io/api/networking/v1alpha3"
)

// connectionManager tells by its type whether a network filter speaks HTTP.
var connectionManager = &hcm.HttpConnectionManager{}

// connectionManager patches the HTTP filters of a connection manager, and the routes that it carries itself.
func (r *run) connectionManager(l *listenerv3.Listener, fc *listenerv3.FilterChain, f *listenerv3.Filter) {
	routes := r.any(networking.EnvoyFilter_ROUTE_CONFIGURATION, networking.EnvoyFilter_VIRTUAL_HOST, networking.EnvoyFilter_HTTP_ROUTE)
	if !routes && !r.any(networking.EnvoyFilter_HTTP_FILTER) {
		return
	}
	m := &hcm.HttpConnectionManager{}
	if err := f.GetTypedConfig().UnmarshalTo(m); err != nil {
		return // it is of a newer Envoy than this program knows
	}
	r.each(networking.EnvoyFilter_HTTP_FILTER, func(p *Patch) {
		if !p.matchesFilter(l, fc, f) {
			return
		}
		sub := p.match.GetListener().GetFilterChain().GetFilter().GetSubFilter()
		m.HttpFilters = edit(m.HttpFilters, p, sub != nil, func(f *hcm.HttpFilter) bool { return sub.GetName() == f.GetName() }, beforeRouter(m.HttpFilters))
	})
	for _, h := range m.HttpFilters {
		r.each(networking.EnvoyFilter_HTTP_FILTER, func(p *Patch) {
			if p.operation == opMerge && p.matchesFilter(l, fc, f) {
				r.mergeHTTP(p, h)
			}
		})
	}
	for _, h := range m.HttpFilters {
		r.inline(h)
	}
	if rc := m.GetRouteConfig(); routes && rc != nil {
		r.inlineRoutes(rc)
	}
	packed, err := pack(m)
	if err == nil {
		err = m.ValidateAll()
	}
	if err != nil {
		r.fail(r.current, err)
		return
	}
	f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed}
}

// beforeRouter is where a filter goes that is to be the last one: the router answers all, so that nothing
// after it is ever asked, and Envoy refuses that.
func beforeRouter(filters []*hcm.HttpFilter) int {
	if n := len(filters); n > 0 && filters[n-1].GetTypedConfig().MessageIs(&router.Router{}) {
		return n - 1
	}
	return len(filters)
}

// mergeHTTP merges a patch into the HTTP filter that it matches.
func (r *run) mergeHTTP(p *Patch, h *hcm.HttpFilter) {
	sub := p.match.GetListener().GetFilterChain().GetFilter().GetSubFilter()
	value := p.value.(*hcm.HttpFilter)
	if sub != nil && sub.GetName() != h.GetName() || h.GetTypedConfig() == nil {
		return
	}
	if value.GetTypedConfig() != nil {
		merged, err := p.mergeAny(h.GetTypedConfig(), value.GetTypedConfig())
		if err != nil {
			if sub != nil { // without one it is for filters of its type
				r.fail(p, err)
			}
			return
		}
		h.ConfigType = &hcm.HttpFilter_TypedConfig{TypedConfig: merged}
	}
	if value.GetName() != "" {
		h.Name = value.GetName()
	}
	h.IsOptional, h.Disabled = h.GetIsOptional() || value.GetIsOptional(), h.GetDisabled() || value.GetDisabled()
	r.check(p, h)
}

// inline puts the settings in the place of a reference to them.
func (r *run) inline(h *hcm.HttpFilter) {
	if h.GetConfigDiscovery().GetConfigSource().GetAds() == nil {
		return
	}
	p := r.owner(h)
	if p == nil {
		return
	}
	if config, ok := r.inlined(p, h.GetName()); ok {
		h.ConfigType = &hcm.HttpFilter_TypedConfig{TypedConfig: config.GetTypedConfig()}
	}
}

// owner finds the patch that put a filter in.
func (r *run) owner(h *hcm.HttpFilter) *Patch {
	for _, p := range r.patches {
		if v, ok := p.value.(*hcm.HttpFilter); ok && v.GetName() == h.GetName() && v.GetConfigDiscovery() != nil {
			return p
		}
	}
	return nil
}
