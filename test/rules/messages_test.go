package rules

import (
	"context"
	"fmt"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ondemandv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/on_demand/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// table is a translator that gives every proxy the same messages.
type table []push.Message

func (t table) Classify(p *model.Proxy) resolve.Class { return resolve.Class{Key: p.Namespace} }

func (t table) Advance(context.Context, []*resolve.Class) (push.Work, error) { return push.Work{}, nil }

func (t table) Moved(*model.Proxy) bool { return false }

func (t table) Touched(*resolve.Class) (base, own bool) { return false, true }

func (t table) Base(*resolve.Class) push.Base { return push.Base{} }

func (t table) Own(*resolve.Class) push.Draft { return push.Draft{Messages: t} }

// ads gives no time limit: what waits for a resource waits until it comes, so that a fault shows.
func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3, InitialFetchTimeout: durationpb.New(0),
	}
}

// cluster takes its endpoints over ADS; seconds is what changes from one version to the next.
func cluster(name string, seconds int) push.Message {
	return push.Message{Type: push.Clusters, Name: name, Body: &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(time.Duration(seconds) * time.Second),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads()},
	}}
}

// badCluster is one that Envoy refuses.
func badCluster(name string) push.Message {
	return push.Message{Type: push.Clusters, Name: name, Body: &clusterv3.Cluster{
		Name: name, ClusterDiscoveryType: &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{Name: "none.such"}},
	}}
}

// markerCluster needs nothing to be warm.
func markerCluster(name string) push.Message {
	return push.Message{Type: push.Clusters, Name: name, Body: &clusterv3.Cluster{Name: name}}
}

func assignment(name string, port uint32) push.Message { return assignmentAt(name, "127.0.0.1", port) }

func assignmentAt(name, host string, port uint32) push.Message {
	return push.Message{Type: push.Endpoints, Name: name, Body: &endpointv3.ClusterLoadAssignment{
		ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address(host, port)}},
		}}}},
	}}
}

func address(host string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

// listener serves a route configuration that comes over ADS; stat is what changes from one version
// to the next.
func listener(name string, port int, routes, stat string) push.Message {
	return filteredListener(name, port, routes, stat, &routerv3.Router{})
}

// demandListener asks for a cluster that is not there when a request needs it.
func demandListener(name string, port int, routes string) push.Message {
	demand := &ondemandv3.OnDemand{Odcds: &ondemandv3.OnDemandCds{Source: ads(), Timeout: durationpb.New(10 * time.Second)}}
	return filteredListener(name, port, routes, name, demand, &routerv3.Router{})
}

func filteredListener(name string, port int, routes, stat string, filters ...proto.Message) push.Message {
	m := &hcmv3.HttpConnectionManager{
		StatPrefix: stat,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{
			Rds: &hcmv3.Rds{RouteConfigName: routes, ConfigSource: ads()},
		},
	}
	for i, f := range filters {
		m.HttpFilters = append(m.HttpFilters, &hcmv3.HttpFilter{
			Name: fmt.Sprintf("filter-%d", i), ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: envoy.Any(f)},
		})
	}
	manager := envoy.Any(m)
	return push.Message{Type: push.Listeners, Name: name, Body: &listenerv3.Listener{
		Name: name, Address: address("127.0.0.1", uint32(port)),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager},
		}}}},
	}}
}

// badListener is one that Envoy refuses: two of its chains match the same.
func badListener(name string, port int) push.Message {
	m := listener(name, port, name, "bad")
	l := m.Body.(*listenerv3.Listener)
	l.FilterChains = append(l.FilterChains, proto.Clone(l.FilterChains[0]).(*listenerv3.FilterChain))
	return m
}

func route(name, cluster string) push.Message {
	return push.Message{Type: push.Routes, Name: name, Body: &routev3.RouteConfiguration{
		Name: name, VirtualHosts: []*routev3.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}}},
		}}}},
	}}
}

// clusterHeader names the cluster of a request, for headerRoute.
const clusterHeader = "x-cluster"

func headerRoute(name string) push.Message {
	m := route(name, "")
	m.Body.(*routev3.RouteConfiguration).VirtualHosts[0].Routes[0].GetRoute().ClusterSpecifier = &routev3.RouteAction_ClusterHeader{ClusterHeader: clusterHeader}
	return m
}
