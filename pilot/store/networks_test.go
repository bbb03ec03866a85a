package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// networksText is a ConfigMap with the networks of a mesh, each a line.
func networksText(networks ...string) string {
	return "\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  meshNetworks: |\n    networks:\n      " +
		strings.Join(networks, "\n      ") + "\n---\n"
}

// A workload says itself where it is, or the root namespace does, or the network of its cluster, or of its address.
// Of several subnets the widest counts, of two of one size that of the first network by name.
func TestWhereAWorkloadIs(t *testing.T) {
	const root = "{apiVersion: v1, kind: Namespace, metadata: {name: istio-system, labels: {topology.istio.io/network: root}}}"
	subnets := networksText("b: {endpoints: [{fromCidr: 10.0.0.0/24}, {fromCidr: 10.1.0.0/16}, {fromCidr: 'fd00::/8'}]}",
		"c: {endpoints: [{fromCidr: 10.0.0.0/16}, {fromCidr: 10.1.0.0/16}]}")
	mapped := networksText("b: {endpoints: [{fromCidr: '::ffff:10.0.0.0/104'}]}")
	cluster := networksText("b: {endpoints: [{fromCidr: 10.0.0.0/8}]}", "c: {endpoints: [{fromRegistry: Kubernetes}]}", "d: {endpoints: [{fromRegistry: Kubernetes}]}")
	far := networksText("b: {endpoints: [{fromRegistry: far}]}")
	for name, c := range map[string]struct{ mesh, address, label, want string }{
		"nothing is said":                    {"", "10.0.0.1", "", ""},
		"it says so":                         {"", "10.0.0.1", "own", "own"},
		"the widest subnet":                  {subnets, "10.0.0.1", "", "c"},
		"subnets of one size":                {subnets, "10.1.0.1", "", "b"},
		"a subnet of the other family":       {subnets, "fd00::1", "", "b"},
		"a subnet of IPv4 within IPv6":       {mapped, "10.0.0.1", "", "b"},
		"no subnet":                          {subnets, "192.0.2.1", "", ""},
		"it says more than a subnet":         {subnets, "10.0.0.1", "own", "own"},
		"the cluster's more than a subnet":   {cluster, "10.0.0.1", "", "c"},
		"it says more than the cluster's":    {cluster, "10.0.0.1", "own", "own"},
		"another cluster's":                  {far, "10.0.0.1", "", ""},
		"the root namespace":                 {root, "10.0.0.1", "", "root"},
		"the root namespace more than all":   {root + cluster + subnets, "10.0.0.1", "", "root"},
		"it says more than the root's label": {root, "10.0.0.1", "own", "own"},
	} {
		t.Run(name, func(t *testing.T) {
			s := FromObjects(decode(t, c.mesh+fmt.Sprintf(`
---
{apiVersion: v1, kind: Service, metadata: {name: a, namespace: default}, spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: default, labels: {app: a, topology.istio.io/network: %q}}, spec: {containers: [{name: a, image: a}]}, status: {podIP: %q, phase: Running}}
`, c.label, c.address)), Options{})
			got := s.Endpoints(model.ServiceID{Namespace: "default", Hostname: "a.default.svc.cluster.local"})
			if len(got) != 1 || got[0].Network != c.want {
				t.Errorf("endpoints %+v, want one in network %q", got, c.want)
			}
			pod := s.Reader(nil).Pod("", "default", "a")
			if of := s.Reader(nil).NetworkOf(pod); of != c.want {
				t.Errorf("its proxy is in network %q, want %q", of, c.want)
			}
		})
	}
}

// The name of a gateway stands for the addresses that the DNS has for it, and is told to who asks it, also while
// nothing else changes.
func TestGatewaysByName(t *testing.T) {
	s := newState("")
	put := func(text string) {
		for _, o := range decode(t, text) {
			s.put(o.Key, o)
		}
	}
	commit := func(step, names, gateways string) {
		t.Helper()
		s.commit()
		var got []string
		for _, g := range s.last.Reader(nil).NetworkGateways() {
			got = append(got, fmt.Sprintf("%s %s:%d", g.Network, g.Address, g.Port))
		}
		if all := strings.Join(got, ", "); all != gateways {
			t.Errorf("%s: gateways %q, want %q", step, all, gateways)
		}
		if all := strings.Join(s.last.GatewayNames(), ", "); all != names {
			t.Errorf("%s: names %q, want %q", step, all, names)
		}
	}
	const edge = "{apiVersion: v1, kind: Service, metadata: {name: edge, namespace: gateways, labels: {topology.istio.io/network: n}}, spec: {type: LoadBalancer, ports: [{name: tls, port: 15443}]}, status: {loadBalancer: {ingress: [%s]}}}"
	put(fmt.Sprintf(edge, ""))
	commit("before it has a name", "", "")
	put(fmt.Sprintf(edge, "{hostname: Edge.Example.com}"))
	commit("before it is resolved", "edge.example.com", "")
	resolved := func(addresses ...string) {
		o := &model.Object{Key: model.ResolvedNameKey("edge.example.com"), Spec: &model.ResolvedName{Addresses: addresses}}
		s.put(o.Key, o)
	}
	resolved("203.0.113.1", "203.0.113.2")
	commit("resolved", "edge.example.com", "n 203.0.113.1:15443, n 203.0.113.2:15443")
	resolved("203.0.113.2")
	commit("one is gone", "edge.example.com", "n 203.0.113.2:15443")
	put(networksText("m: {gateways: [{address: edge.example.com., port: 443}, {address: other.example.com, port: 443}]}"))
	commit("also in the mesh's networks", "edge.example.com, other.example.com", "m 203.0.113.2:443, n 203.0.113.2:15443")
	s.put(model.ResolvedNameKey("edge.example.com"), nil)
	commit("the name is gone", "edge.example.com, other.example.com", "")
}

// A Service is a gateway at each of its outer addresses: by its own label, or where the mesh's networks name it.
func TestServicesThatAreGateways(t *testing.T) {
	service := func(labels, more string) string {
		return "\n---\n{apiVersion: v1, kind: Service, metadata: {name: edge, namespace: gateways, labels: {" + labels + "}}, spec: {ports: [{name: tls, port: 15443}], " + more + "}\n"
	}
	outer := "externalIPs: [203.0.113.2, 203.0.113.1]}"
	named := func(registry, host string) string {
		return networksText("far: {endpoints: [{fromRegistry: " + registry + "}], gateways: [{registryServiceName: " + host + ", port: 443}]}")
	}
	const host = "edge.gateways.svc.cluster.local"
	for name, c := range map[string]struct{ input, want string }{
		"by its label":              {service("topology.istio.io/network: n", outer), "n Kubernetes 203.0.113.1:15443, n Kubernetes 203.0.113.2:15443"},
		"at a port of its label":    {service("topology.istio.io/network: n, networking.istio.io/gatewayPort: '444'", "externalIPs: ['::FFFF:203.0.113.1']}"), "n Kubernetes 203.0.113.1:444"},
		"at a port that is none":    {service("topology.istio.io/network: n, networking.istio.io/gatewayPort: '70000'", "externalIPs: [203.0.113.1]}"), "n Kubernetes 203.0.113.1:15443"},
		"of a load balancer":        {service("topology.istio.io/network: n", "type: LoadBalancer}, status: {loadBalancer: {ingress: [{ip: 203.0.113.7}]}}"), "n Kubernetes 203.0.113.7:15443"},
		"within the cluster":        {service("topology.istio.io/network: n", "clusterIP: 10.96.0.1}"), ""},
		"by its name":               {service("", outer) + named("Kubernetes", host), "far Kubernetes 203.0.113.1:443, far Kubernetes 203.0.113.2:443"},
		"by its name and label":     {service("topology.istio.io/network: n", "externalIPs: [203.0.113.1]}") + named("Kubernetes", host), "n Kubernetes 203.0.113.1:15443"},
		"by a name of another":      {service("", outer) + named("Kubernetes", "other.gateways.svc.cluster.local"), ""},
		"by a name that is no host": {service("", outer) + named("Kubernetes", "edge.gateways"), ""},
		"in a cluster without it":   {service("", outer) + named("far", host), ""},
		"beside an address":         {service("topology.istio.io/network: n", "externalIPs: [203.0.113.9]}") + networksText("m: {gateways: [{address: 203.0.113.9, port: 1}]}"), "m  203.0.113.9:1, n Kubernetes 203.0.113.9:15443"},
	} {
		t.Run(name, func(t *testing.T) {
			r := FromObjects(decode(t, c.input), Options{}).Reader(nil)
			var got []string
			for _, g := range r.NetworkGateways() {
				got = append(got, fmt.Sprintf("%s %s %s:%d", g.Network, g.Cluster, g.Address, g.Port))
			}
			if all := strings.Join(got, ", "); all != c.want || r.SeveralNetworks() != (c.want != "") {
				t.Errorf("gateways %q, several networks %v; want %q", all, r.SeveralNetworks(), c.want)
			}
		})
	}
}
