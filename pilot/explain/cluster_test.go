package explain

import (
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"github.com/google/go-cmp/cmp"
)

// Envoy keeps the first host of an address from EDS, so that a second one has no share, healthy or not.
func TestEndpointsOfOneAddressCountOnce(t *testing.T) {
	at := func(priority uint32, health core.HealthStatus, hosts ...string) *endpointv3.LocalityLbEndpoints {
		l := &endpointv3.LocalityLbEndpoints{Priority: priority}
		for _, host := range hosts {
			l.LbEndpoints = append(l.LbEndpoints, &endpointv3.LbEndpoint{
				HealthStatus: health,
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
					Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
						Address: host, PortSpecifier: &core.SocketAddress_PortValue{PortValue: 80},
					}}},
				}},
			})
		}
		return l
	}
	a := &endpointv3.ClusterLoadAssignment{Endpoints: []*endpointv3.LocalityLbEndpoints{
		at(0, core.HealthStatus_HEALTHY, "10.0.0.1"), at(0, core.HealthStatus_UNHEALTHY, "10.0.0.1", "10.0.0.2"), at(1, core.HealthStatus_HEALTHY, "10.0.0.1", "10.0.0.3"),
	}}
	m := &clusterv3.Cluster{ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}}
	got := map[string]float64{}
	list := assigned(m, a)
	for _, e := range list {
		got[e.Address] = e.Percent
	}
	want := map[string]float64{"10.0.0.1:80": 70, "10.0.0.2:80": 0, "10.0.0.3:80": 30}
	if diff := cmp.Diff(want, got); diff != "" || len(list) != len(want) {
		t.Errorf("%d endpoints (-want +got):\n%s", len(list), diff)
	}
}
