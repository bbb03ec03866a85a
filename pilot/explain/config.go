package explain

import (
	"cmp"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
)

// Config is what one Envoy runs.
type Config struct {
	Listeners []*listenerv3.Listener
	Routes    map[string]*routev3.RouteConfiguration
	Clusters  map[string]*clusterv3.Cluster
	// Endpoints are the load assignments by cluster.
	Endpoints map[string]*endpointv3.ClusterLoadAssignment
	// Lookup finds where an object that resources name (/apis/GROUP/VERSION/namespaces/NS/KIND/NAME)
	// stands; nil where nobody knows.
	Lookup func(object string) (file string, line int)
}

// NewConfig takes resources of any of the four types; others are passed over.
func NewConfig(resources []proto.Message) *Config {
	c := &Config{
		Routes:   map[string]*routev3.RouteConfiguration{},
		Clusters: map[string]*clusterv3.Cluster{}, Endpoints: map[string]*endpointv3.ClusterLoadAssignment{},
	}
	for _, m := range resources {
		switch m := m.(type) {
		case *listenerv3.Listener:
			c.Listeners = append(c.Listeners, m)
		case *routev3.RouteConfiguration:
			c.Routes[m.GetName()] = m
		case *clusterv3.Cluster:
			c.Clusters[m.GetName()] = m
		case *endpointv3.ClusterLoadAssignment:
			c.Endpoints[m.GetClusterName()] = m
		}
	}
	slices.SortStableFunc(c.Listeners, func(a, b *listenerv3.Listener) int {
		return cmp.Or(cmp.Compare(port(a.GetAddress()), port(b.GetAddress())), strings.Compare(a.GetName(), b.GetName()))
	})
	return c
}

// routesOf gives the route configuration that a connection manager goes by, its own or the one that it names;
// nil where the proxy has none of the name.
func (c *Config) routesOf(m *hcm.HttpConnectionManager) *routev3.RouteConfiguration {
	if name := m.GetRds().GetRouteConfigName(); name != "" {
		return c.Routes[name]
	}
	return m.GetRouteConfig()
}
