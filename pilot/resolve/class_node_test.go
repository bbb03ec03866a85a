package resolve_test

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// TestOnlyClientsOfServicesByNodeDifferByNode has two proxies that differ by their nodes alone.
func TestOnlyClientsOfServicesByNodeDifferByNode(t *testing.T) {
	service := func(more, annotation string) string {
		return `
apiVersion: v1
kind: Service
metadata: {name: a, namespace: other, annotations: {` + annotation + `}}
spec: {clusterIP: 10.96.0.1, ` + more + ` ports: [{name: http, port: 80}]}
`
	}
	for name, c := range map[string]struct {
		objects string
		differ  bool
	}{
		"any endpoint":           {service("", ""), false},
		"the own zone":           {service("trafficDistribution: PreferSameZone,", ""), false},
		"the own node alone":     {service("internalTrafficPolicy: Local,", ""), true},
		"the own node first":     {service("trafficDistribution: PreferSameNode,", ""), true},
		"the same by annotation": {service("", "networking.istio.io/traffic-distribution: prefersamenode"), true},
		"a ServiceEntry's own node": {`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: other, annotations: {networking.istio.io/traffic-distribution: PreferSameNode}}
spec: {hosts: [a.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 192.0.2.1}]}
`, true},
		"a service that is hidden": {service("internalTrafficPolicy: Local,", "networking.istio.io/exportTo: ."), false},
		"one of its own":           {service("internalTrafficPolicy: Local,", "networking.istio.io/exportTo: default"), true},
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, c.objects)
			of := func(node string) resolve.Class {
				return resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Name: "p", Namespace: "default", Node: node, IPs: []string{"10.0.0.1"}})
			}
			one, two := of("n1"), of("n2")
			if differ := one.Key != two.Key; differ != c.differ {
				t.Errorf("proxies of two nodes have two classes: %v, want %v", differ, c.differ)
			}
			if a, b := one.Outbound(), two.Outbound(); a.Key != b.Key {
				t.Error("they do not share what does not depend on the node")
			}
		})
	}
}
