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

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Table is a push.Translator that gives every proxy the same messages.
type Table []push.Message

// Classify makes the proxies of a namespace one class.
func (t Table) Classify(p *model.Proxy) resolve.Class { return resolve.Class{Key: p.Namespace} }

// Advance has nothing to do.
func (t Table) Advance(context.Context, []*resolve.Class) (push.Work, error) { return push.Work{}, nil }

// Moved is false: a class does not depend on the state.
func (t Table) Moved(*model.Proxy) bool { return false }

// Touched says that all may have changed.
func (t Table) Touched(*resolve.Class) (base, own bool) { return false, true }

// Base is empty.
func (t Table) Base(*resolve.Class) push.Base { return push.Base{} }

// Own gives the messages.
func (t Table) Own(*resolve.Class) push.Draft { return push.Draft{Messages: t} }

// ADS gives no time limit: what waits for a resource waits until it comes, so that a fault shows.
func ADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3, InitialFetchTimeout: durationpb.New(0),
	}
}

// Cluster takes its endpoints over ADS; seconds is what changes from one version to the next.
func Cluster(name string, seconds int) push.Message {
	return push.Message{Type: push.Clusters, Name: name, Body: &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(time.Duration(seconds) * time.Second),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ADS()},
	}}
}

// Assignment gives a cluster one host on loopback.
func Assignment(name string, port uint32) push.Message { return AssignmentAt(name, "127.0.0.1", port) }

// AssignmentAt gives a cluster one host.
func AssignmentAt(name, host string, port uint32) push.Message {
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

// Listener serves on loopback, through HTTP filters, a route configuration that comes over ADS; stat
// is what changes from one version to the next.
func Listener(name string, port int, routes, stat string, filters ...proto.Message) push.Message {
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
	return push.Message{Type: push.Listeners, Name: name, Body: &listenerv3.Listener{
		Name: name, Address: address("127.0.0.1", uint32(port)),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: envoy.Any(m)},
		}}}},
	}}
}

// TwoChainsAlike makes a listener one that Envoy refuses.
func TwoChainsAlike(m push.Message) push.Message {
	l := m.Body.(*listenerv3.Listener)
	l.FilterChains = append(l.FilterChains, proto.Clone(l.FilterChains[0]).(*listenerv3.FilterChain))
	return m
}

// Route leads all requests to a cluster.
func Route(name, cluster string) push.Message {
	return push.Message{Type: push.Routes, Name: name, Body: &routev3.RouteConfiguration{
		Name: name, VirtualHosts: []*routev3.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}}},
		}}}},
	}}
}
