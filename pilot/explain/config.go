package explain

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
)

// Config is what one Envoy runs.
type Config struct {
	Listeners []*listenerv3.Listener
	Routes    map[string]*routev3.RouteConfiguration
	Clusters  map[string]*clusterv3.Cluster
	// Endpoints are the load assignments by cluster.
	Endpoints map[string]*endpointv3.ClusterLoadAssignment
	// Gateway tells that clients come by the ports of its Services, where it has any.
	Gateway bool
	// Ports are where what is sent to a port of a Service of a gateway's pod arrives; nil where nobody knows.
	Ports map[uint16]uint16
	// UDPPorts are those that clients reach by UDP.
	UDPPorts map[uint16]uint16
	// SecretsKnown tells that the secrets among the resources are all that the proxy was given.
	SecretsKnown bool
	// SecretProblem says why the proxy does not have a Secret, "" for what it does not know; nil where nobody knows.
	SecretProblem func(name string) string
	// Place finds where what a part of the configuration does was asked for; nil where nobody knows.
	Place func(Part) Place

	// Patched names the patches of EnvoyFilters that a resource went through, or one part of it where part is not nil;
	// nil where nobody knows.
	Patched func(whole, part proto.Message) []Patch

	// Host gives what is known of a host, or of what has an address; nil where nobody knows more than the resources tell.
	Host func(name string) *Host

	// Identity is what the proxy's certificate says, and IP its address: who it is for servers.
	Identity string
	IP       netip.Addr
	// Peer finds the proxy beside a server; nil where none is known, and for a server without one.
	Peer func(server netip.Addr) *Peer
	// Bare tells of a server that it has no sidecar; nil where nobody knows.
	Bare func(server netip.Addr) bool
	// MutualTLSBy and TokensBy name the object that has a port take mutual TLS only, and that which takes tokens of an
	// issuer; nil where nobody knows.
	MutualTLSBy, TokensBy func(string) string
	// HTTPSOnlyBy names what has requests in the clear redirected that come for domains to a port of a gateway; nil where
	// nobody knows.
	HTTPSOnlyBy func(port uint16, domains []string) Part

	// Resolved are the servers that Envoy has of each cluster, by which it is known what names it has resolved; nil where
	// nobody knows.
	Resolved map[string][]Server

	// ServedBy names the object that has a host, "" for none; nil where nobody knows.
	ServedBy func(host string) string
	// ClusterBy tells what a cluster of a host goes by; nil where nobody knows.
	ClusterBy func(host string, port uint16, subset string) ClusterOrigin
	// UnknownBy is what decides about destinations that the proxy does not know; nil where nobody knows.
	UnknownBy func() Part

	secrets map[string]*tlsv3.Secret // without keys
	dumped  bool                     // an Envoy said so itself
}

// NewConfig takes resources of any of the four types, and secrets; others are passed over.
func NewConfig(resources []proto.Message) *Config {
	c := &Config{
		Routes:   map[string]*routev3.RouteConfiguration{},
		Clusters: map[string]*clusterv3.Cluster{}, Endpoints: map[string]*endpointv3.ClusterLoadAssignment{},
		secrets: map[string]*tlsv3.Secret{},
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
		case *tlsv3.Secret:
			c.secrets[m.GetName()] = m
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
