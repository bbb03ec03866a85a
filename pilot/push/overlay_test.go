package push

import (
	"strconv"
	"sync"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// TestNamespaceCostsWhatIsParticularToIt connects proxies of further namespaces: units are computed
// for what they see otherwise only, and sets that come out equal are one.
func TestNamespaceCostsWhatIsParticularToIt(t *testing.T) {
	http := corev1.ServicePort{Name: "http", Port: 80}
	objects := []*model.Object{
		service("b", "web", "172.16.1.1", http), service("b", "hidden", "172.16.1.2", http),
		destinationRule("c", "rule", "s0.a.svc.cluster.local", 7, "."),
	}
	objects[1].Annotations = map[string]string{"networking.istio.io/exportTo": "."}
	for i := range 50 {
		objects = append(objects, service("a", "s"+strconv.Itoa(i), "172.16.0."+strconv.Itoa(i+1), http))
	}
	f, d := newFeed(t, objects...), newDriver(t)
	d.apply(f.edit()...)
	computed := map[string]int{}
	clients := map[string]*viewer{}
	for i, ns := range []string{"a", "b", "c", "d", "e"} {
		clients[ns] = join(t, d.engine, proxy(t, ns, "p", "10.0.0."+strconv.Itoa(i+1), nil))
		computed[ns] = d.pipeline.part(&clients[ns].group.class).result().computed
	}
	// b: two services' clusters and virtual hosts, the hosts of no service and the configuration.
	// c: the clusters and the virtual host of the rule's service, and the configuration.
	for ns, most := range map[string]int{"b": 6, "c": 3, "d": 0, "e": 0} {
		if computed[ns] > most {
			t.Errorf("namespace %s: %d units were computed, want at most %d", ns, computed[ns], most)
		}
	}
	base := func(ns string) [NumTypes]*Set { return clients[ns].group.base }
	if base("d") != base("e") {
		t.Error("namespaces that have nothing of their own have sets of their own")
	}
	if base("a")[Clusters] != base("d")[Clusters] || base("a")[Listeners] != base("d")[Listeners] || base("a")[Routes] == base("d")[Routes] {
		t.Error("want equal clusters and listeners, and other routes where names are short")
	}
	if base("c")[Clusters] == base("d")[Clusters] || base("b")[Clusters].Len() != base("d")[Clusters].Len()+1 {
		t.Error("a rule or a service of a namespace alone has no effect in it")
	}
}

// TestEndpointsByLocalityReachOtherNamespaces moves a pod of a service whose load assignments depend
// on the proxy's locality, so that nobody shares them with all.
func TestEndpointsByLocalityReachOtherNamespaces(t *testing.T) {
	rule := destinationRule("a", "web", "web.a.svc.cluster.local", 1)
	rule.Spec.(*networking.DestinationRule).TrafficPolicy.OutlierDetection = &networking.OutlierDetection{}
	labels := map[string]string{"app": "web", "version": "v1", "topology.kubernetes.io/region": "r1"}
	f := newFeed(t, service("a", "web", "172.16.0.1", corev1.ServicePort{Name: "http", Port: 80}), rule, pod("a", "p", "10.0.0.1", labels))
	d := newDriver(t)
	d.apply(f.edit()...)
	near, far := proxy(t, "b", "near", "10.0.1.1", nil), proxy(t, "b", "far", "10.0.1.2", nil)
	near.Locality.Region, far.Locality.Region = "r1", "r2"
	clients := []*viewer{join(t, d.engine, near), join(t, d.engine, far)}
	const name = "outbound|80||web.a.svc.cluster.local"
	before := clients[0].now().Set(Endpoints).Get(name)
	d.apply(f.edit(pod("a", "p", "10.0.0.9", labels))...)
	for _, c := range clients {
		if got := c.now().Set(Endpoints).Get(name); !c.told() || got == nil || got.Version == before.Version {
			t.Errorf("%s was not told of the endpoint's new address", c.node.Name)
		}
	}
}

// TestEndpointsLeaveRoutesOfRoutersAlone moves a pod while a gateway is connected: its clusters and
// load assignments are those of a part, and nothing else is computed.
func TestEndpointsLeaveRoutesOfRoutersAlone(t *testing.T) {
	labels := map[string]string{"app": "web", "version": "v1"}
	f := newFeed(t, service("a", "web", "172.16.0.1", corev1.ServicePort{Name: "http", Port: 80}), pod("a", "p", "10.0.0.1", labels))
	d := newDriver(t)
	d.apply(f.edit()...)
	n := proxy(t, "b", "gateway", "10.0.1.1", nil)
	n.Type = model.RouterProxy
	c := join(t, d.engine, n)
	const name = "outbound|80||web.a.svc.cluster.local"
	before := c.now().Set(Endpoints).Get(name)
	for _, commit := range f.edit(pod("a", "p", "10.0.0.9", labels)) {
		d.apply(commit)
		if base, own := d.pipeline.Touched(&c.group.class); own || base != (len(commit.Endpoints) > 0) {
			t.Errorf("changed %v: base is touched %v, own %v", commit.Endpoints, base, own)
		}
	}
	if got := c.now().Set(Endpoints).Get(name); before == nil || got == nil || got.Version == before.Version {
		t.Errorf("load assignment %v, then %v", before, got)
	}
}

// TestConnectBesideApply connects proxies of many classes while the mesh changes. Each ends with the
// view of the last state, whichever it began with.
func TestConnectBesideApply(t *testing.T) {
	http := corev1.ServicePort{Name: "http", Port: 80}
	f, d := newFeed(t, service("a", "web", "172.16.0.1", http)), newDriver(t)
	d.apply(f.edit()...)
	var commits []store.Commit
	for i := range 20 {
		commits = append(commits, f.edit(service("a", "s"+strconv.Itoa(i), "172.16.1."+strconv.Itoa(i+1), http))...)
	}
	var work sync.WaitGroup
	clients := make([]*viewer, 60)
	for i := range clients {
		node := proxy(t, "ns-"+strconv.Itoa(i%20), "p", "10.0.0.1", map[string]any{"DNS_CAPTURE": i%2 == 0})
		clients[i] = &viewer{}
		work.Go(func() {
			var err error
			if clients[i].Client, err = d.engine.Connect(node, func(*Update) { clients[i].news++ }); err != nil {
				t.Error(err)
			}
		})
	}
	d.apply(commits...)
	work.Wait()
	want := join(t, d.engine, proxy(t, "ns-0", "last", "10.0.0.1", nil)).now().Set(Clusters)
	for _, c := range clients {
		if got := c.now().Set(Clusters); got != want {
			t.Errorf("%s has %d clusters, want %d", c.node.Namespace, got.Len(), want.Len())
		}
		if c.news == 0 {
			t.Errorf("%s was told of no view", c.node.Namespace)
		}
	}
}
