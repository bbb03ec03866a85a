package resource

import (
	"testing"

	mutation "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	headermutation "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	headermetadata "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_to_metadata/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func marshalled(t *testing.T, typ Type, m proto.Message) *Resource {
	t.Helper()
	r, err := New(typ, "r", m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func pack(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// without gives the message that stands in for one without a part.
func without(t *testing.T, typ Type, m, former proto.Message, out ...int) proto.Message {
	t.Helper()
	var was *Parts
	if former != nil {
		was = marshalled(t, typ, former).Parts()
	}
	r, err := marshalled(t, typ, m).Parts().Without(out, was)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func vhost(name, cluster string, domains ...string) *routev3.VirtualHost {
	return &routev3.VirtualHost{Name: name, Domains: domains, Routes: []*routev3.Route{{
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}}},
	}}}
}

func routeConfig(hosts ...*routev3.VirtualHost) *routev3.RouteConfiguration {
	return &routev3.RouteConfiguration{Name: "r", VirtualHosts: hosts}
}

func TestWithoutAVirtualHost(t *testing.T) {
	status := func(vh *routev3.VirtualHost) uint32 { return vh.GetRoutes()[0].GetDirectResponse().GetStatus() }
	bad, good := vhost("bad", "x", "a", "B"), vhost("good", "y", "c")
	t.Run("new", func(t *testing.T) {
		got := without(t, Routes, routeConfig(bad, good), nil, 0).(*routev3.RouteConfiguration)
		if vh := got.VirtualHosts[0]; vh.Name != "bad" || len(vh.Domains) != 2 || status(vh) != 503 {
			t.Errorf("instead %v", vh)
		}
		if !proto.Equal(got.VirtualHosts[1], good) || got.Name != "r" {
			t.Errorf("the rest is %v", got)
		}
	})
	t.Run("accepted before", func(t *testing.T) {
		was := vhost("bad", "former", "B", "a")
		got := without(t, Routes, routeConfig(bad, good), routeConfig(was), 0).(*routev3.RouteConfiguration)
		if !proto.Equal(got.VirtualHosts[0], was) {
			t.Errorf("instead %v", got.VirtualHosts[0])
		}
	})
	t.Run("accepted before for other domains", func(t *testing.T) {
		got := without(t, Routes, routeConfig(bad, good), routeConfig(vhost("bad", "former", "a")), 0).(*routev3.RouteConfiguration)
		if status(got.VirtualHosts[0]) != 503 {
			t.Errorf("instead %v", got.VirtualHosts[0])
		}
	})
	t.Run("accepted before without a redirect to https", func(t *testing.T) {
		secure := proto.Clone(bad).(*routev3.VirtualHost)
		secure.RequireTls = routev3.VirtualHost_ALL
		got := without(t, Routes, routeConfig(secure), routeConfig(bad), 0).(*routev3.RouteConfiguration)
		if status(got.VirtualHosts[0]) != 503 {
			t.Errorf("instead %v", got.VirtualHosts[0])
		}
	})
	t.Run("a domain that stands twice", func(t *testing.T) {
		got := without(t, Routes, routeConfig(good, vhost("twice", "x", "C", "d"), vhost("thrice", "x", "c")), nil, 1, 2).(*routev3.RouteConfiguration)
		if len(got.VirtualHosts) != 2 || len(got.VirtualHosts[1].Domains) != 1 || got.VirtualHosts[1].Domains[0] != "d" {
			t.Errorf("got %v", got)
		}
	})
}

func TestWithoutAFilterChain(t *testing.T) {
	chain := func(stat string, filters ...proto.Message) *listenerv3.FilterChain {
		m := &hcmv3.HttpConnectionManager{StatPrefix: stat}
		for _, f := range filters {
			m.HttpFilters = append(m.HttpFilters, &hcmv3.HttpFilter{ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(t, f)}})
		}
		return &listenerv3.FilterChain{
			Name: "c", FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: "tls"},
			Filters: []*listenerv3.Filter{{ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(t, m)}}},
		}
	}
	in := func(c *listenerv3.FilterChain) *listenerv3.Listener {
		return &listenerv3.Listener{Name: "r", FilterChains: []*listenerv3.FilterChain{c}, StatPrefix: "s", DefaultFilterChain: &listenerv3.FilterChain{
			Name: "default", Filters: []*listenerv3.Filter{{ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(t, &tcpv3.TcpProxy{})}}},
		}}
	}
	first := func(m proto.Message) *listenerv3.FilterChain { return m.(*listenerv3.Listener).FilterChains[0] }
	open, allow := chain("former"), chain("former", &rbacv3.RBAC{})
	deny := chain("next", &rbacv3.RBAC{}, &rbacv3.RBAC{RulesStatPrefix: "deny"})
	moves := func(header string) []proto.Message {
		return []proto.Message{
			&headermetadata.Config{RequestRules: []*headermetadata.Config_Rule{{Header: header, Remove: true}}},
			&headermutation.HeaderMutation{Mutations: &headermutation.Mutations{RequestMutations: []*mutation.HeaderMutation{
				{Action: &mutation.HeaderMutation_Remove{Remove: header}},
			}}},
		}
	}
	for name, c := range map[string]struct {
		former *listenerv3.FilterChain
		next   *listenerv3.FilterChain
		stays  bool
	}{
		"nothing that denies":            {open, chain("next"), true},
		"nothing denied more":            {allow, chain("next", &rbacv3.RBAC{RulesStatPrefix: "other"}), true},
		"nothing denied before":          {open, deny, false},
		"less denied before":             {allow, deny, false},
		"more denied before":             {deny, allow, true},
		"what proxies say of themselves": {open, chain("next", moves("x-envoy-peer-metadata-id")...), true},
		"what callers say of themselves": {open, chain("next", moves("x-user")[:1]...), false},
		"what callers say, removed":      {open, chain("next", moves("x-user")[1:]...), false},
		"what an EnvoyFilter puts in":    {open, chain("next", &luav3.Lua{}), true},
		"that, and more denied":          {open, chain("next", &luav3.Lua{}, &rbacv3.RBAC{}), false},
		"that, where as much is denied":  {allow, chain("next", &luav3.Lua{}, &rbacv3.RBAC{}), true},
		"whom somebody else is to ask":   {open, chain("next", &extauthzv3.ExtAuthz{}), false},
	} {
		t.Run(name, func(t *testing.T) {
			got := first(without(t, Listeners, in(c.next), in(c.former), 0))
			if stays := proto.Equal(got, c.former); stays != c.stays {
				t.Errorf("instead %v", got)
			}
			if closes := len(got.Filters) == 0 && got.GetFilterChainMatch().GetTransportProtocol() == "tls" && got.Name == "c"; closes == c.stays {
				t.Errorf("instead %v", got)
			}
		})
	}
	got := without(t, Listeners, in(deny), nil, 1).(*listenerv3.Listener)
	if d := got.GetDefaultFilterChain(); d.GetName() != "default" || len(d.GetFilters()) != 0 || !proto.Equal(got.FilterChains[0], deny) {
		t.Errorf("without the default chain: %v", got)
	}
}
