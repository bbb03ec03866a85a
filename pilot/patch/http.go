package patch

import (
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	cors "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	fault "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
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
	demanded := onDemand(m.HttpFilters)
	before := slices.Clone(m.HttpFilters)
	r.each(networking.EnvoyFilter_HTTP_FILTER, func(p *Patch) {
		if !p.matchesFilter(l, fc, f) {
			return
		}
		sub := p.match.GetListener().GetFilterChain().GetFilter().GetSubFilter()
		m.HttpFilters = edit(m.HttpFilters, p, sub != nil, func(f *hcm.HttpFilter) bool { return sub.GetName() == f.GetName() }, beforeRouter(m.HttpFilters))
	})
	rerouted := slices.ContainsFunc(m.HttpFilters, func(h *hcm.HttpFilter) bool { return !slices.Contains(before, h) })
	for _, h := range m.HttpFilters {
		r.each(networking.EnvoyFilter_HTTP_FILTER, func(p *Patch) {
			if p.operation != opMerge || !p.matchesFilter(l, fc, f) || !r.mergeHTTP(p, h) {
				return
			}
			value := p.value.(*hcm.HttpFilter)
			rerouted = rerouted || value.GetTypedConfig() != nil && mayReroute(h)
			if value.GetDisabled() { // somebody wants it off
				demanded = slices.DeleteFunc(demanded, func(d *hcm.HttpFilter) bool { return d == h })
			}
		})
	}
	if rerouted {
		for _, h := range demanded {
			h.Disabled = false
		}
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

// onDemand gives the filters that the control plane has made for those routes only that want them. A filter that is put
// in, or has other settings, may have another route chosen for a request (Lua, Wasm, clear_route_cache). Envoy has made
// the request's filters by then, so these are on for all routes then. What a patch brought disabled stays so.
func onDemand(filters []*hcm.HttpFilter) []*hcm.HttpFilter {
	var out []*hcm.HttpFilter
	for _, h := range filters {
		config := h.GetTypedConfig()
		ours := h.GetName() == httpfilter.Fault && config.MessageIs(&fault.HTTPFault{}) || h.GetName() == httpfilter.CORS && config.MessageIs(&cors.Cors{})
		if ours && h.GetDisabled() {
			out = append(out, h)
		}
	}
	return out
}

// mayReroute tells whether other settings of a filter may have another route chosen.
func mayReroute(h *hcm.HttpFilter) bool {
	config := h.GetTypedConfig()
	return !config.MessageIs(&fault.HTTPFault{}) && !config.MessageIs(&cors.Cors{}) && !config.MessageIs(&router.Router{})
}

// beforeRouter is where a filter goes that is to be the last one: the router answers all, so that nothing
// after it is ever asked, and Envoy refuses that.
func beforeRouter(filters []*hcm.HttpFilter) int {
	if n := len(filters); n > 0 && filters[n-1].GetTypedConfig().MessageIs(&router.Router{}) {
		return n - 1
	}
	return len(filters)
}

// mergeHTTP merges a patch into the HTTP filter that it matches, and tells whether it did.
func (r *run) mergeHTTP(p *Patch, h *hcm.HttpFilter) bool {
	sub := p.match.GetListener().GetFilterChain().GetFilter().GetSubFilter()
	value := p.value.(*hcm.HttpFilter)
	if sub != nil && sub.GetName() != h.GetName() || h.GetTypedConfig() == nil {
		return false
	}
	if value.GetTypedConfig() != nil {
		merged, err := p.mergeAny(h.GetTypedConfig(), value.GetTypedConfig())
		if err != nil {
			if sub != nil { // without one it is for filters of its type
				r.fail(p, err)
			}
			return false
		}
		h.ConfigType = &hcm.HttpFilter_TypedConfig{TypedConfig: merged}
	}
	if value.GetName() != "" {
		h.Name = value.GetName()
	}
	h.IsOptional = h.GetIsOptional() || value.GetIsOptional()
	h.Disabled = value.GetDisabled() || h.GetDisabled() && value.GetTypedConfig() == nil // with settings it is for all requests
	r.check(p, h)
	return true
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
