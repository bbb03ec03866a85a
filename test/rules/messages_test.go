package rules

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ondemandv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/on_demand/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// badCluster is one that Envoy refuses.
func badCluster(name string) xdstest.Message {
	return xdstest.Message{Type: resource.Clusters, Name: name, Body: &clusterv3.Cluster{
		Name: name, ClusterDiscoveryType: &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{Name: "none.such"}},
	}}
}

// markerCluster needs nothing to be warm.
func markerCluster(name string) xdstest.Message {
	return xdstest.Message{Type: resource.Clusters, Name: name, Body: &clusterv3.Cluster{Name: name}}
}

// listener serves a route configuration that comes over ADS; stat is what changes from one version
// to the next.
func listener(name string, port int, routes, stat string) xdstest.Message {
	return xdstest.Listener(name, port, routes, stat, &routerv3.Router{})
}

// demandListener asks for a cluster that is not there when a request needs it.
func demandListener(name string, port int, routes string) xdstest.Message {
	demand := &ondemandv3.OnDemand{Odcds: &ondemandv3.OnDemandCds{Source: xdstest.ADS(), Timeout: durationpb.New(10 * time.Second)}}
	return xdstest.Listener(name, port, routes, name, demand, &routerv3.Router{})
}

// badListener is one that Envoy refuses: two of its chains match the same.
func badListener(name string, port int) xdstest.Message {
	return xdstest.TwoChainsAlike(listener(name, port, name, "bad"))
}

// clusterHeader names the cluster of a request, for headerRoute.
const clusterHeader = "x-cluster"

func headerRoute(name string) xdstest.Message {
	m := xdstest.Route(name, "")
	m.Body.(*routev3.RouteConfiguration).VirtualHosts[0].Routes[0].GetRoute().ClusterSpecifier = &routev3.RouteAction_ClusterHeader{ClusterHeader: clusterHeader}
	return m
}
