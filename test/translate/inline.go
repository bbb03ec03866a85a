package translate

import (
	"fmt"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Inlined gives copies of the listeners with their route configurations inside, so that an Envoy without a
// control plane checks and serves both. It is an error if a listener wants routes that nobody makes.
func Inlined(res Resources) ([]*listenerv3.Listener, error) {
	routes := map[string]*routev3.RouteConfiguration{}
	for _, r := range res.ByType["routes"] {
		routes[r.Name] = r.Body.(*routev3.RouteConfiguration)
	}
	var out []*listenerv3.Listener
	for _, r := range res.ByType["listeners"] {
		l := proto.Clone(r.Body).(*listenerv3.Listener)
		for _, chain := range append(slices.Clone(l.FilterChains), l.DefaultFilterChain) {
			for _, f := range chain.GetFilters() {
				if err := inline(f, routes); err != nil {
					return nil, fmt.Errorf("listener %s: %w", l.Name, err)
				}
			}
		}
		out = append(out, l)
	}
	return out, nil
}

// inline puts its route configuration into a filter that names one.
func inline(f *listenerv3.Filter, routes map[string]*routev3.RouteConfiguration) error {
	m := &hcm.HttpConnectionManager{}
	if !f.GetTypedConfig().MessageIs(m) {
		return nil
	}
	if err := f.GetTypedConfig().UnmarshalTo(m); err != nil {
		return err
	}
	if name := m.GetRds().GetRouteConfigName(); name != "" {
		if routes[name] == nil {
			return fmt.Errorf("wants routes %q, which nobody makes", name)
		}
		m.RouteSpecifier = &hcm.HttpConnectionManager_RouteConfig{RouteConfig: routes[name]}
	}
	packed, err := anypb.New(m)
	if err != nil { // a text that is not UTF-8: who validates or serves the listener is told by the value
		packed = &anypb.Any{TypeUrl: f.GetTypedConfig().GetTypeUrl(), Value: []byte(err.Error())}
	}
	f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed}
	return nil
}
