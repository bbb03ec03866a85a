// Package xdstest has the messages that tests of the discovery server serve, made by hand.
package xdstest

import (
	"context"
	"fmt"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// Message is a resource before it is marshalled.
type Message struct {
	Type resource.Type
	Name string
	Body proto.Message
}

// Table is a push.Translator that gives every proxy the same messages.
type Table []Message

// Seat makes the proxies of a namespace one class.
func (t Table) Seat(p *model.Proxy) *build.Seat {
	return &build.Seat{Proxy: p, Class: resolve.Class{Key: p.Namespace}}
}

// Leave has nothing to do.
func (t Table) Leave(*build.Seat) {}

// Retain has nothing to drop.
func (t Table) Retain([]*resolve.Class) {}

// Advance says that all classes have changed.
func (t Table) Advance(context.Context) (build.Work, error) { return build.Work{All: true}, nil }

// Result gives the messages. It panics where one cannot be marshalled, which is the test's fault.
func (t Table) Result(*resolve.Class) build.Result {
	var byType [resource.NumTypes][]*resource.Resource
	for _, m := range t {
		r, err := resource.New(m.Type, m.Name, m.Body)
		if err != nil {
			panic(err)
		}
		byType[m.Type] = append(byType[m.Type], r)
	}
	var out build.Result
	for i, list := range byType {
		out.Sets[i] = resource.NewSet(list...)
	}
	return out
}

// FromScratch gives the same messages again.
func (t Table) FromScratch(c *resolve.Class) func() build.Result {
	return func() build.Result { return t.Result(c) }
}

// Discard has nothing to drop.
func (t Table) Discard(*resolve.Class) {}

// Patching knows of no EnvoyFilter.
func (t Table) Patching(*resolve.Class, *resource.Resource, proto.Message) []model.MadeOf { return nil }

// ADS gives no time limit: what waits for a resource waits until it comes, so that a fault shows.
func ADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3, InitialFetchTimeout: durationpb.New(0),
	}
}

// Cluster takes its endpoints over ADS; seconds is what changes from one version to the next.
func Cluster(name string, seconds int) Message {
	return Message{Type: resource.Clusters, Name: name, Body: &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(time.Duration(seconds) * time.Second),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ADS()},
	}}
}

// Assignment gives a cluster one host on loopback.
func Assignment(name string, port uint32) Message { return AssignmentAt(name, "127.0.0.1", port) }

// AssignmentAt gives a cluster one host.
func AssignmentAt(name, host string, port uint32) Message {
	return Message{Type: resource.Endpoints, Name: name, Body: &endpointv3.ClusterLoadAssignment{
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

// Listener serves on loopback, through HTTP filters, a route configuration that comes over ADS; stat
// is what changes from one version to the next.
func Listener(name string, port int, routes, stat string, filters ...proto.Message) Message {
	m := &hcmv3.HttpConnectionManager{
		StatPrefix: stat,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{
			Rds: &hcmv3.Rds{RouteConfigName: routes, ConfigSource: ADS()},
		},
	}
	for i, f := range filters {
		m.HttpFilters = append(m.HttpFilters, &hcmv3.HttpFilter{
			Name: fmt.Sprintf("filter-%d", i), ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: envoy.Any(f)},
		})
	}
	return Message{Type: resource.Listeners, Name: name, Body: &listenerv3.Listener{
		Name: name, Address: address("127.0.0.1", uint32(port)),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: envoy.Any(m)},
		}}}},
	}}
}

// TwoChainsAlike makes a listener one that Envoy refuses.
func TwoChainsAlike(m Message) Message {
	l := m.Body.(*listenerv3.Listener)
	l.FilterChains = append(l.FilterChains, proto.Clone(l.FilterChains[0]).(*listenerv3.FilterChain))
	return m
}

// Route leads all requests to a cluster.
func Route(name, cluster string) Message {
	return Message{Type: resource.Routes, Name: name, Body: &routev3.RouteConfiguration{
		Name: name, VirtualHosts: []*routev3.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}}},
		}}}},
	}}
}
