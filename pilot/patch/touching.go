package patch

import (
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Place is where a resource stands, as far as its message does not say so.
type Place struct {
	Cluster ClusterPlace
	Routes  RoutePlace
}

func (p *Patch) madeOf() model.MadeOf {
	return model.MadeOf{Object: p.object.Key, Field: p.field, Origin: p.object.Origin}
}

// Touching gives the patches of a set that concern a resource as they left it, or one part of it: a filter chain or
// a virtual host. A nil part stands for all that is in it.
func (s Set) Touching(c Context, at Place, whole, part proto.Message) []model.MadeOf {
	var out []model.MadeOf
	for _, p := range s {
		if p.In(c) && p.touches(c, at, whole, part) {
			out = append(out, p.madeOf())
		}
	}
	return out
}

func (p *Patch) touches(c Context, at Place, whole, part proto.Message) bool {
	if p.operation == opAdd && p.adds(whole, part) {
		return true
	}
	switch m := whole.(type) {
	case *clusterv3.Cluster:
		return p.applyTo == networking.EnvoyFilter_CLUSTER && p.operation != opAdd && p.matchesCluster(at.Cluster, m)
	case *listenerv3.Listener:
		return p.touchesListener(c, m, part)
	case *routev3.RouteConfiguration:
		hosts := m.GetVirtualHosts()
		if vh, ok := part.(*routev3.VirtualHost); ok {
			hosts = []*routev3.VirtualHost{vh}
		}
		return p.touchesRoutes(c, at.Routes, hosts, part == nil)
	}
	return false
}

// adds tells whether a patch adds what is asked about as a whole.
func (p *Patch) adds(whole, part proto.Message) bool {
	var asked any = whole
	switch p.applyTo {
	case networking.EnvoyFilter_CLUSTER, networking.EnvoyFilter_LISTENER:
	case networking.EnvoyFilter_FILTER_CHAIN, networking.EnvoyFilter_VIRTUAL_HOST:
		asked = part
	default:
		return false
	}
	named, ok := asked.(interface{ GetName() string })
	value, has := p.value.(interface{ GetName() string })
	return ok && has && asked.(proto.Message).ProtoReflect().Descriptor() == p.value.ProtoReflect().Descriptor() && named.GetName() == value.GetName()
}

func (p *Patch) touchesListener(c Context, l *listenerv3.Listener, part proto.Message) bool {
	chains := append(slices.Clone(l.GetFilterChains()), l.GetDefaultFilterChain())
	if fc, ok := part.(*listenerv3.FilterChain); ok {
		chains = []*listenerv3.FilterChain{fc}
	}
	switch p.applyTo {
	case networking.EnvoyFilter_LISTENER:
		return p.operation == opMerge && p.matchesListener(l)
	case networking.EnvoyFilter_LISTENER_FILTER:
		return part == nil && p.matchesListener(l)
	case networking.EnvoyFilter_FILTER_CHAIN:
		return p.operation == opMerge && slices.ContainsFunc(chains, func(fc *listenerv3.FilterChain) bool { return fc != nil && p.matchesChain(l, fc) })
	}
	return slices.ContainsFunc(chains, func(fc *listenerv3.FilterChain) bool {
		return slices.ContainsFunc(fc.GetFilters(), func(f *listenerv3.Filter) bool { return p.touchesFilter(c, l, fc, f) })
	})
}

// touchesFilter tells whether a patch concerns a network filter, or what is in it.
func (p *Patch) touchesFilter(c Context, l *listenerv3.Listener, fc *listenerv3.FilterChain, f *listenerv3.Filter) bool {
	http := f.GetTypedConfig().MessageIs(connectionManager)
	switch p.applyTo {
	case networking.EnvoyFilter_NETWORK_FILTER:
		return p.matchesChain(l, fc)
	case networking.EnvoyFilter_HTTP_FILTER:
		return http && p.matchesFilter(l, fc, f)
	}
	m := &hcm.HttpConnectionManager{}
	if !http || f.GetTypedConfig().UnmarshalTo(m) != nil || m.GetRouteConfig() == nil {
		return false
	}
	return p.touchesRoutes(c, inlinePlace(m.GetRouteConfig()), m.GetRouteConfig().GetVirtualHosts(), true)
}

// touchesRoutes tells whether a patch concerns some of the virtual hosts of a route configuration, or that itself.
func (p *Patch) touchesRoutes(c Context, at RoutePlace, hosts []*routev3.VirtualHost, itself bool) bool {
	switch p.applyTo {
	case networking.EnvoyFilter_ROUTE_CONFIGURATION:
		return itself && p.matchesRoutes(c, at)
	case networking.EnvoyFilter_VIRTUAL_HOST, networking.EnvoyFilter_HTTP_ROUTE:
		added := p.applyTo == networking.EnvoyFilter_VIRTUAL_HOST && p.operation == opAdd
		return !added && slices.ContainsFunc(hosts, func(vh *routev3.VirtualHost) bool { return p.matchesHost(c, at, vh) })
	}
	return false
}
