package build

import (
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// TestPlaces has proxies on several nodes: only clusters that prefer nodes have load assignments for each of
// them, and those for nodes where no proxy is any more are dropped.
func TestPlaces(t *testing.T) {
	rule := storetest.DestinationRule("a", "zonal", "zonal.a.svc.cluster.local", 1)
	rule.Spec.(*networking.DestinationRule).TrafficPolicy.OutlierDetection = &networking.OutlierDetection{}
	http := corev1.ServicePort{Name: "http", Port: 80}
	local := storetest.Service("a", "local", "172.16.0.2", http)
	policy := corev1.ServiceInternalTrafficPolicyLocal
	local.Spec.(*corev1.Service).Spec.InternalTrafficPolicy = &policy
	f := storetest.NewFeed(t, nil, storetest.Service("a", "zonal", "172.16.0.1", http), local, rule)
	d := newDriver(t)
	d.apply(f.Edit()...)
	var clients []*seated
	for _, name := range []string{"one", "two", "three"} {
		p := storetest.Sidecar("b", name, "10.0.1.1")
		p.Locality, p.Node = model.Locality{Region: "r1"}, "node-"+name
		clients = append(clients, d.join(p))
	}
	places := func() (nodes, made int) {
		for l := clients[0].outbound(); l != nil; l = l.below {
			for p, at := range l.byPlace {
				made += len(at.made)
				if p.node != "" {
					nodes++
				}
			}
		}
		return nodes, made
	}
	if nodes, made := places(); nodes != 3 || made != 6 {
		t.Errorf("%d nodes have %d load assignments, want 3 nodes with one each, and three for all (the rule has subsets)", nodes, made)
	}
	d.seats = d.seats[:1]
	d.apply(f.Edit(storetest.Pod("a", "p", "10.0.0.9", map[string]string{"app": "web"}))...)
	if nodes, _ := places(); nodes != 1 {
		t.Errorf("%d nodes are left of 3, want the one that has a proxy", nodes)
	}
}
