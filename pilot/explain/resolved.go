package explain

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Server is one that a running Envoy has in a cluster.
type Server struct {
	Name    string // that was resolved; may be empty
	Address string // ip:port
	Ejected bool   // by outlier detection
}

// ParseClusters reads the servers of each cluster from what Envoy's admin interface says of /clusters?format=json.
func ParseClusters(data []byte) (map[string][]Server, error) {
	var all adminv3.Clusters
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("not what Envoy says of its clusters: %w", err)
	}
	out := map[string][]Server{}
	for _, c := range all.GetClusterStatuses() {
		servers := []Server{}
		for _, h := range c.GetHostStatuses() {
			servers = append(servers, Server{Name: h.GetHostname(), Address: address(h.GetAddress()), Ejected: h.GetHealthStatus().GetFailedOutlierCheck()})
		}
		out[c.GetName()] = servers
	}
	return out, nil
}

// onlyResolved gives the endpoints of a cluster that Envoy resolves itself: without names that it has resolved to no
// address, and without servers that it has ejected.
func (c *Config) onlyResolved(m *clusterv3.Cluster) *endpointv3.ClusterLoadAssignment {
	whole := m.GetLoadAssignment()
	servers, known := c.Resolved[m.GetName()]
	if !known || !ofNames(m) {
		return whole
	}
	out := proto.CloneOf(whole)
	for _, l := range out.GetEndpoints() {
		l.LbEndpoints = slices.DeleteFunc(l.GetLbEndpoints(), func(e *endpointv3.LbEndpoint) bool {
			return len(serversNamed(m, e, servers)) == 0
		})
		for _, e := range l.GetLbEndpoints() {
			of := serversNamed(m, e, servers)
			if !slices.ContainsFunc(of, func(s Server) bool { return !s.Ejected }) {
				e.HealthStatus = core.HealthStatus_UNHEALTHY
			}
		}
	}
	return out
}

// unresolved lists the names of a cluster that Envoy has resolved to no address.
func (c *Config) unresolved(cluster string) []string {
	m := c.Clusters[cluster]
	servers, known := c.Resolved[cluster]
	if !known || !ofNames(m) {
		return nil
	}
	var out []string
	for _, l := range m.GetLoadAssignment().GetEndpoints() {
		for _, e := range l.GetLbEndpoints() {
			name := e.GetEndpoint().GetAddress().GetSocketAddress().GetAddress()
			if len(serversNamed(m, e, servers)) == 0 && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// ofNames tells whether Envoy itself resolves the endpoints of a cluster.
func ofNames(m *clusterv3.Cluster) bool {
	return m.GetType() == clusterv3.Cluster_STRICT_DNS || m.GetType() == clusterv3.Cluster_LOGICAL_DNS
}

// serversNamed gives the servers that Envoy has for an endpoint. A cluster of logical DNS has one endpoint, and an address
// stands for itself.
func serversNamed(m *clusterv3.Cluster, e *endpointv3.LbEndpoint, all []Server) (out []Server) {
	at := e.GetEndpoint().GetAddress()
	name, number := at.GetSocketAddress().GetAddress(), strconv.Itoa(int(port(at)))
	if own := e.GetEndpoint().GetHostname(); own != "" {
		name = own
	}
	for _, s := range all {
		_, to, err := net.SplitHostPort(s.Address)
		_, isIP := netip.ParseAddr(name)
		if m.GetType() == clusterv3.Cluster_LOGICAL_DNS || err == nil && to == number && s.Name == name ||
			isIP == nil && s.Address == address(at) {
			out = append(out, s)
		}
	}
	return out
}
