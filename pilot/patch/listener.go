package patch

import (
	"fmt"
	"slices"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Listener patches a listener and what is in it; kept is false where a patch removes it.
func (s Set) Listener(c Context, fresh func() *listenerv3.Listener) (out *listenerv3.Listener, kept bool, problems []model.Problem) {
	return attempt(s, c, fresh, (*run).listener)
}

// AddedListeners gives those that patches add.
func (s Set) AddedListeners(c Context) []*listenerv3.Listener {
	return added[*listenerv3.Listener](s, networking.EnvoyFilter_LISTENER, c)
}

func (r *run) listener(l *listenerv3.Listener) (*listenerv3.Listener, bool) {
	kept := true
	r.each(networking.EnvoyFilter_LISTENER, func(p *Patch) {
		if !kept || !p.matchesListener(l) {
			return
		}
		switch p.operation {
		case opRemove:
			kept = false
		case opMerge:
			p.merge(l, p.value)
			r.check(p, l)
		}
	})
	if !kept {
		return l, false
	}
	r.each(networking.EnvoyFilter_LISTENER_FILTER, func(p *Patch) {
		if !p.matchesListener(l) {
			return
		}
		name := p.match.GetListener().GetListenerFilter()
		if p.operation == opMerge {
			for _, f := range l.ListenerFilters {
				if name != "" && name == f.GetName() { // without a name it means none, as in Istio
					r.mergeListenerFilter(p, f)
				}
			}
		} else {
			l.ListenerFilters = edit(l.ListenerFilters, p, name != "", func(f *listenerv3.ListenerFilter) bool { return name == f.GetName() }, len(l.ListenerFilters))
		}
	})
	l.FilterChains = slices.DeleteFunc(l.FilterChains, func(fc *listenerv3.FilterChain) bool { return !r.chain(l, fc) })
	if l.DefaultFilterChain != nil && !r.chain(l, l.DefaultFilterChain) {
		l.DefaultFilterChain = nil
	}
	r.each(networking.EnvoyFilter_FILTER_CHAIN, func(p *Patch) {
		if p.operation == opAdd && p.matchesListener(l) {
			l.FilterChains = append(l.FilterChains, clone[*listenerv3.FilterChain](p))
		}
	})
	return l, true
}

// mergeListenerFilter merges settings into those of a filter; one without settings stays as it is, as in Istio.
func (r *run) mergeListenerFilter(p *Patch, f *listenerv3.ListenerFilter) {
	value := clone[*listenerv3.ListenerFilter](p)
	if f.GetTypedConfig() == nil {
		return
	}
	if value.GetTypedConfig() != nil {
		merged, err := p.mergeAny(f.GetTypedConfig(), value.GetTypedConfig())
		if err != nil {
			r.fail(p, err)
			return
		}
		f.ConfigType = &listenerv3.ListenerFilter_TypedConfig{TypedConfig: merged}
	}
	value.ConfigType = nil
	p.merge(f, value)
	r.check(p, f)
}

// chain patches a filter chain, and tells whether it stays.
func (r *run) chain(l *listenerv3.Listener, fc *listenerv3.FilterChain) bool {
	kept := true
	r.each(networking.EnvoyFilter_FILTER_CHAIN, func(p *Patch) {
		if !kept || !p.matchesChain(l, fc) {
			return
		}
		switch p.operation {
		case opRemove:
			kept = false
		case opMerge:
			value := clone[*listenerv3.FilterChain](p)
			if value.TransportSocket != nil {
				merged, err := p.mergeSocket(value.TransportSocket, fc.GetTransportSocket())
				if err != nil {
					r.fail(p, err)
					return
				}
				if merged != nil {
					value.TransportSocket = nil
				}
			}
			p.merge(fc, value)
			r.check(p, fc)
		}
	})
	if !kept {
		return false
	}
	r.each(networking.EnvoyFilter_NETWORK_FILTER, func(p *Patch) {
		if p.matchesChain(l, fc) {
			filter := p.match.GetListener().GetFilterChain().GetFilter()
			fc.Filters = edit(fc.Filters, p, filter != nil, func(f *listenerv3.Filter) bool { return filter.GetName() == f.GetName() }, len(fc.Filters))
		}
	})
	for _, f := range fc.Filters {
		r.networkFilter(l, fc, f)
	}
	return true
}

func (r *run) networkFilter(l *listenerv3.Listener, fc *listenerv3.FilterChain, f *listenerv3.Filter) {
	r.each(networking.EnvoyFilter_NETWORK_FILTER, func(p *Patch) {
		value, ok := p.value.(*listenerv3.Filter)
		if !ok || p.operation != opMerge || !p.matchesFilter(l, fc, f) || f.GetTypedConfig() == nil {
			return
		}
		if value.GetTypedConfig() != nil {
			merged, err := p.mergeAny(f.GetTypedConfig(), value.GetTypedConfig())
			if err != nil {
				if p.match.GetListener().GetFilterChain().GetFilter() != nil { // without one it is for filters of its type
					r.fail(p, err)
				}
				return
			}
			f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: merged}
		}
		if value.GetName() != "" {
			f.Name = value.GetName()
		}
		r.check(p, f)
	})
	if f.GetTypedConfig().MessageIs(connectionManager) {
		r.connectionManager(l, fc, f)
	}
}

// matchesListener tells whether a patch is for a listener. Within the listeners that take all traffic the
// port is that of a filter chain.
func (p *Patch) matchesListener(l *listenerv3.Listener) bool {
	m := p.match.GetListener()
	if m == nil {
		return true
	}
	if m.GetName() != "" && m.GetName() != l.GetName() {
		return false
	}
	if p.applyTo != networking.EnvoyFilter_LISTENER && takesAll(l) {
		return true
	}
	return m.GetPortNumber() == 0 || l.GetAddress().GetSocketAddress().GetPortValue() == m.GetPortNumber()
}

func takesAll(l *listenerv3.Listener) bool {
	return l.GetName() == model.VirtualInboundListener || l.GetName() == model.VirtualOutboundListener
}

func (p *Patch) matchesChain(l *listenerv3.Listener, fc *listenerv3.FilterChain) bool {
	if !p.matchesListener(l) {
		return false
	}
	m, has := p.match.GetListener(), fc.GetFilterChainMatch()
	if takesAll(l) && m.GetPortNumber() > 0 && has.GetDestinationPort().GetValue() != m.GetPortNumber() {
		return false
	}
	want := m.GetFilterChain()
	switch {
	case want.GetName() != "" && want.GetName() != fc.GetName():
		return false
	case want.GetSni() != "" && !slices.Contains(has.GetServerNames(), want.GetSni()):
		return false
	case want.GetTransportProtocol() != "" && has.GetTransportProtocol() != want.GetTransportProtocol():
		return false
	case want.GetDestinationPort() > 0 && has.GetDestinationPort().GetValue() != want.GetDestinationPort():
		return false
	case want.GetApplicationProtocols() == "":
		return true
	}
	for protocol := range strings.SplitSeq(want.GetApplicationProtocols(), ",") {
		if !slices.Contains(has.GetApplicationProtocols(), strings.TrimSpace(protocol)) {
			return false
		}
	}
	return true
}

func (p *Patch) matchesFilter(l *listenerv3.Listener, fc *listenerv3.FilterChain, f *listenerv3.Filter) bool {
	want := p.match.GetListener().GetFilterChain().GetFilter()
	return p.matchesChain(l, fc) && (want == nil || want.GetName() == f.GetName())
}

// inlined puts the settings of an EXTENSION_CONFIG patch in the place of a reference to them, so that a
// filter has them from its first request on.
func (r *run) inlined(p *Patch, name string) (*core.TypedExtensionConfig, bool) {
	for _, e := range r.patches {
		if e.is(networking.EnvoyFilter_EXTENSION_CONFIG, r.context) && e.value.(*core.TypedExtensionConfig).GetName() == name {
			return e.value.(*core.TypedExtensionConfig), true
		}
	}
	r.fail(p, fmt.Errorf("no EXTENSION_CONFIG patch of the workload adds %q", name))
	return nil, false
}
