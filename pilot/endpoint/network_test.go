package endpoint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pilothouse-mesh/pilothouse/pilot/endpoint"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// weights gives the hosts of an assignment with their weights, by region.
func weights(a *ir.LoadAssignment) []string {
	var out []string
	for _, l := range a.Localities {
		for _, e := range l.Endpoints {
			out = append(out, fmt.Sprintf("%s/%s:%d=%d", l.Region, e.Address, e.Port, e.Weight))
		}
	}
	return out
}

// meshNetworks begins the ConfigMap of the mesh's networks.
const meshNetworks = `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  meshNetworks: |
    networks:
`

const gateways = meshNetworks + `      near:
        gateways: [{address: 203.0.113.9, port: 443}]
      far:
        gateways: [{address: 203.0.113.2, port: 443}, {address: 203.0.113.1, port: 443}]
      third:
        gateways: [{address: 203.0.113.3, port: 1}, {address: 203.0.113.3, port: 2}, {address: 203.0.113.3, port: 3}]
`

// Weights are multiplied by what all numbers of gateways divide, and each gateway has its part of those behind it.
func TestGatewaysShareTheWeightOfANetwork(t *testing.T) {
	mutual := "security.istio.io/tlsMode: istio, topology.istio.io/network: "
	r := read(t, fmt.Sprintf(service, "")+gateways+
		pod("a1", "10.0.0.1", mutual+"near")+pod("a2", "10.9.0.1", mutual+"far")+pod("a3", "10.9.0.2", mutual+"far, istio-locality: r2")+
		pod("a4", "10.9.0.3", mutual+"far")+pod("a5", "10.8.0.1", mutual+"third")+pod("a6", "10.9.0.4", "topology.istio.io/network: far")+
		pod("a7", "10.7.0.1", mutual+"gateless"))
	for name, c := range map[string]struct {
		network resolve.Network
		want    []string
	}{
		"near": {resolve.Network{Name: "near"}, []string{
			"/10.0.0.1:8080=6", "/10.7.0.1:8080=6", "/203.0.113.1:443=9", "/203.0.113.2:443=9", "/203.0.113.3:1=2", "/203.0.113.3:2=2", "/203.0.113.3:3=2",
		}},
		"third": {resolve.Network{Name: "third"}, []string{
			"/10.7.0.1:8080=6", "/10.8.0.1:8080=6", "/203.0.113.1:443=9", "/203.0.113.2:443=9", "/203.0.113.9:443=6",
		}},
		"none": {resolve.Network{}, []string{
			"/10.0.0.1:8080=1", "/10.7.0.1:8080=1", "/10.8.0.1:8080=1", "/10.9.0.1:8080=1", "/10.9.0.3:8080=1", "/10.9.0.4:8080=1", "r2/10.9.0.2:8080=1",
		}},
		"near sees itself": {resolve.Network{Name: "near", View: "near,"}, []string{"/10.0.0.1:8080=1"}},
		"near sees others": {resolve.Network{Name: "near", View: "far,third,"}, []string{
			"/203.0.113.1:443=9", "/203.0.113.2:443=9", "/203.0.113.3:1=2", "/203.0.113.3:2=2", "/203.0.113.3:3=2",
		}},
	} {
		cl := cluster(nil)
		cl.AutoTLS = true
		got := weights(endpoint.Assignment(r, &resolve.Class{Network: c.network}, cl))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// networks makes the mesh's networks, of names with the addresses of their gateways.
func networks(of ...string) string {
	var b strings.Builder
	b.WriteString(meshNetworks)
	for _, network := range of {
		name, addresses, _ := strings.Cut(network, " ")
		fmt.Fprintf(&b, "      %s:\n        gateways:\n", name)
		for _, a := range strings.Fields(addresses) {
			fmt.Fprintf(&b, "        - {address: %q, port: 443}\n", a)
		}
	}
	return b.String()
}

// Envoy keeps the first host of an address that a cluster has, and would forget the weight of the others.
func TestAGatewayIsOneHostOfACluster(t *testing.T) {
	in := func(network, zone string) string {
		return "security.istio.io/tlsMode: istio, topology.istio.io/network: " + network + ", istio-locality: " + zone
	}
	base := fmt.Sprintf(service, "") + networks("n2 203.0.113.1", "n3 203.0.113.1") + pod("a0", "10.0.0.1", in("n1", "r1.z1"))
	zones := pod("a1", "10.9.0.1", in("n2", "r1.z4")) + pod("a2", "10.9.0.2", in("n2", "r1.z3")) + pod("a3", "10.9.0.3", in("n2", "r1.z3")) +
		pod("a4", "10.9.0.4", in("n2", "r1.z2")) + pod("a5", "10.9.0.5", in("n2", "r1.z2"))
	for name, c := range map[string]struct {
		input  string
		policy ir.LocalityPolicy
		want   []string
	}{
		"in the locality of most":          {zones, ir.LocalityPolicy{}, []string{"0/r1.z1/10.0.0.1=1", "0/r1.z2/203.0.113.1=5"}},
		"of several networks":              {pod("a1", "10.9.0.1", in("n2", "r1.z1")) + pod("a2", "10.9.0.2", in("n3", "r1.z1")), ir.LocalityPolicy{}, []string{"0/r1.z1/10.0.0.1=1", "0/r1.z1/203.0.113.1=2"}},
		"with what is of the nearest only": {zones + pod("a6", "10.9.0.6", in("n3", "r1.z1")), ir.LocalityPolicy{Failover: true}, []string{"0/r1.z1/10.0.0.1=1", "0/r1.z1/203.0.113.1=1"}},
		"in the nearest that there is":     {zones, ir.LocalityPolicy{Failover: true}, []string{"0/r1.z1/10.0.0.1=1", "1/r1.z2/203.0.113.1=5"}},
	} {
		cl := cluster(nil)
		cl.AutoTLS, cl.Endpoints.Locality = true, c.policy
		class := &resolve.Class{Network: resolve.Network{Name: "n1"}, Locality: model.Locality{Region: "r1", Zone: "z1"}}
		var got []string
		for _, l := range endpoint.Assignment(read(t, base+c.input), class, cl).Localities {
			for _, e := range l.Endpoints {
				got = append(got, fmt.Sprintf("%d/%s.%s/%s=%d", l.Priority, l.Region, l.Zone, e.Address, e.Weight))
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What is found of all gateways is found once, not for each endpoint.
func TestManyEndpointsBehindManyGateways(t *testing.T) {
	const many = 300
	var of []string
	var pods strings.Builder
	for i := range many {
		of = append(of, fmt.Sprintf("n%d 203.0.%d.%d", i, i/100, i%100))
		pods.WriteString(pod(fmt.Sprintf("a%d", i), fmt.Sprintf("10.0.%d.%d", i/100, i%100), fmt.Sprintf("security.istio.io/tlsMode: istio, topology.istio.io/network: n%d", i)))
	}
	r := read(t, fmt.Sprintf(service, "")+networks(of...)+pods.String())
	cl, class := cluster(nil), &resolve.Class{Network: resolve.Network{Name: "n0"}}
	cl.AutoTLS = true
	each := testing.AllocsPerRun(1, func() {
		if got := len(weights(endpoint.Assignment(r, class, cl))); got != many {
			t.Errorf("%d hosts", got)
		}
	}) / many
	if each > 20 {
		t.Errorf("%.0f allocations for each endpoint", each)
	}
}

// Proxies are given gateways to which they can connect, whatever family the addresses behind those are of.
func TestGatewaysAreOfTheProxysFamily(t *testing.T) {
	const mutual = "security.istio.io/tlsMode: istio, topology.istio.io/network: "
	var pods strings.Builder
	listed := map[string]string{}
	for _, p := range [][]string{
		{"a0", "near", "10.0.0.1", "fd00::1"},
		{"a1", "both", "10.9.0.1", "fd00:9::1"},
		{"a2", "both", "fd00:9::2"},
		{"a3", "both", "10.9.0.3"},
		{"a4", "four", "fd00:8::1"},
		{"a5", "six", "10.7.0.1"},
	} {
		pods.WriteString(pod(p[0], p[2], mutual+p[1]))
		for _, ip := range p[2:] {
			family := map[bool]string{true: "IPv6", false: "IPv4"}[strings.Contains(ip, ":")]
			listed[family] += fmt.Sprintf("{addresses: ['%s'], targetRef: {kind: Pod, namespace: default, name: %s}}, ", ip, p[0])
		}
	}
	r := read(t, fmt.Sprintf(service, "")+networks("both 203.0.113.1 2001:db8::1", "four 203.0.113.2", "six 2001:db8::2")+pods.String()+
		slice(listed["IPv4"])+strings.NewReplacer("name: a-1", "name: a-2", "addressType: IPv4", "addressType: IPv6").Replace(slice(listed["IPv6"])))
	for name, c := range map[string]struct {
		class resolve.Class
		want  []string
	}{
		"IPv4": {resolve.Class{IPv4: true}, []string{"/10.0.0.1:8080=1", "/203.0.113.1:443=3", "/203.0.113.2:443=1"}},
		"IPv6": {resolve.Class{IPv6: true}, []string{"/fd00::1:8080=1", "/2001:db8::1:443=3", "/2001:db8::2:443=1"}},
		"both": {resolve.Class{IPv4: true, IPv6: true}, []string{
			"/10.0.0.1:8080=2", "/fd00::1:8080=2", "/2001:db8::1:443=4", "/2001:db8::2:443=2", "/203.0.113.1:443=4", "/203.0.113.2:443=2",
		}},
	} {
		cl := cluster(nil)
		cl.AutoTLS, c.class.Network = true, resolve.Network{Name: "near"}
		if diff := cmp.Diff(c.want, weights(endpoint.Assignment(r, &c.class, cl))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A subset is not chosen for endpoints to which the proxies cannot connect.
func TestSubsetsFallBackFromWhatIsNotReached(t *testing.T) {
	r := read(t, fmt.Sprintf(service, "")+networks("six 2001:db8::2")+
		pod("a0", "10.0.0.1", "version: v2")+pod("a1", "10.9.0.1", "version: v1, security.istio.io/tlsMode: istio, topology.istio.io/network: six"))
	for family, want := range map[string]string{"4": "10.0.0.1:8080", "6": "2001:db8::2:443"} {
		cl := cluster(map[string]string{"version": "v1"})
		cl.AutoTLS, cl.Endpoints.Fallback = true, []map[string]string{{"version": "v2"}}
		class := &resolve.Class{IPv4: family == "4", IPv6: family == "6", Network: resolve.Network{Name: "near"}}
		if diff := cmp.Diff([]string{want}, hosts(endpoint.Assignment(r, class, cl))); diff != "" {
			t.Errorf("IPv%s (-want +got):\n%s", family, diff)
		}
	}
}
