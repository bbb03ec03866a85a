package build

import (
	"strconv"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// TestNamespaceCostsWhatIsParticularToIt connects proxies of further namespaces: units are computed
// for what they see otherwise only, and sets that come out equal are one.
func TestNamespaceCostsWhatIsParticularToIt(t *testing.T) {
	http := corev1.ServicePort{Name: "http", Port: 80}
	objects := []*model.Object{
		storetest.Service("b", "web", "172.16.1.1", http), storetest.Service("b", "hidden", "172.16.1.2", http),
		storetest.DestinationRule("c", "rule", "s0.a.svc.cluster.local", 7, "."),
	}
	objects[1].Annotations = map[string]string{"networking.istio.io/exportTo": "."}
	for i := range 50 {
		objects = append(objects, storetest.Service("a", "s"+strconv.Itoa(i), "172.16.0."+strconv.Itoa(i+1), http))
	}
	f, d := storetest.NewFeed(t, nil, objects...), newDriver(t)
	d.apply(f.Edit()...)
	computed := map[string]int{}
	clients := map[string]*seated{}
	for i, ns := range []string{"a", "b", "c", "d", "e"} {
		clients[ns] = d.join(storetest.Sidecar(ns, "p", "10.0.0."+strconv.Itoa(i+1)))
		computed[ns] = clients[ns].outbound().computed
	}
	// b: two services' clusters, assignments and virtual hosts, and the plan.
	// c: the clusters, the assignments and the virtual host of the rule's service.
	for ns, most := range map[string]int{"b": 7, "c": 3, "d": 0, "e": 0} {
		if computed[ns] > most {
			t.Errorf("namespace %s: %d units were computed, want at most %d", ns, computed[ns], most)
		}
	}
	base := func(ns string) [resource.NumTypes]*resource.Set { return clients[ns].outbound().sets }
	if base("d") != base("e") {
		t.Error("namespaces that have nothing of their own have sets of their own")
	}
	if base("a")[resource.Clusters] != base("d")[resource.Clusters] || base("a")[resource.Listeners] != base("d")[resource.Listeners] || base("a")[resource.Routes] == base("d")[resource.Routes] {
		t.Error("want equal clusters and listeners, and other routes where names are short")
	}
	if base("c")[resource.Clusters] == base("d")[resource.Clusters] || base("b")[resource.Clusters].Len() != base("d")[resource.Clusters].Len()+1 {
		t.Error("a rule or a service of a namespace alone has no effect in it")
	}
}

// TestEndpointsByLocalityReachOtherNamespaces moves a pod of a service whose load assignments depend
// on the proxy's locality, so that nobody shares them with all.
func TestEndpointsByLocalityReachOtherNamespaces(t *testing.T) {
	rule := storetest.DestinationRule("a", "web", "web.a.svc.cluster.local", 1)
	rule.Spec.(*networking.DestinationRule).TrafficPolicy.OutlierDetection = &networking.OutlierDetection{}
	labels := map[string]string{"app": "web", "version": "v1", "topology.kubernetes.io/region": "r1"}
	f := storetest.NewFeed(t, nil, storetest.Service("a", "web", "172.16.0.1", corev1.ServicePort{Name: "http", Port: 80}), rule, storetest.Pod("a", "p", "10.0.0.1", labels))
	d := newDriver(t)
	d.apply(f.Edit()...)
	near, far := storetest.Sidecar("b", "near", "10.0.1.1"), storetest.Sidecar("b", "far", "10.0.1.2")
	near.Locality.Region, far.Locality.Region = "r1", "r2"
	clients := []*seated{d.join(near), d.join(far)}
	const name = "outbound|80||web.a.svc.cluster.local"
	before := clients[0].set(resource.Endpoints).Get(name)
	d.apply(f.Edit(storetest.Pod("a", "p", "10.0.0.9", labels))...)
	for _, c := range clients {
		if got := c.set(resource.Endpoints).Get(name); got == nil || got.Version == before.Version {
			t.Errorf("%s was not told of the endpoint's new address", c.Proxy.Name)
		}
	}
}

// TestEndpointsLeaveRoutesOfRoutersAlone moves a pod while a gateway is connected: its clusters and
// load assignments are those of a layer below, and nothing else is computed.
func TestEndpointsLeaveRoutesOfRoutersAlone(t *testing.T) {
	labels := map[string]string{"app": "web", "version": "v1"}
	f := storetest.NewFeed(t, nil, storetest.Service("a", "web", "172.16.0.1", corev1.ServicePort{Name: "http", Port: 80}), storetest.Pod("a", "p", "10.0.0.1", labels))
	d := newDriver(t)
	d.apply(f.Edit()...)
	n := storetest.Sidecar("b", "gateway", "10.0.1.1")
	n.Type = model.RouterProxy
	c := d.join(n)
	const name = "outbound|80||web.a.svc.cluster.local"
	before := c.set(resource.Endpoints).Get(name)
	for _, commit := range f.Edit(storetest.Pod("a", "p", "10.0.0.9", labels)) {
		d.apply(commit)
		if own := d.builder.layers[c.Class.Key].computed; own > 0 || c.outbound().below.computed > 1 {
			t.Errorf("changed %v: %d units of the gateway are computed, %d of all", commit.Endpoints, own, c.outbound().below.computed)
		}
	}
	if got := c.set(resource.Endpoints).Get(name); before == nil || got == nil || got.Version == before.Version {
		t.Errorf("load assignment %v, then %v", before, got)
	}
}

// TestFullCommitsLeaveNothing applies commits that change everything: what was read for the state of before is read by
// nobody then.
func TestFullCommitsLeaveNothing(t *testing.T) {
	mesh := func(domain string) *model.Object {
		spec := model.DefaultMeshConfig()
		spec.TrustDomain = domain
		return storetest.Object(model.KindMeshConfig, model.RootNamespace, model.MeshConfigName, spec)
	}
	f := storetest.NewFeed(t, nil, storetest.Service("b", "web", "172.16.1.1", corev1.ServicePort{Name: "http", Port: 80}), mesh("one.test"))
	d := newDriver(t)
	d.apply(f.Edit()...)
	d.join(storetest.Sidecar("b", "p", "10.0.0.1"))
	readers := func() (n int) {
		for _, c := range d.builder.index.cells {
			n += len(c.readers)
		}
		return n
	}
	before := readers()
	commits := f.Edit(mesh("two.test"))
	d.apply(commits...)
	if after := readers(); !commits[0].Full || after != before {
		t.Errorf("%d reads were recorded, then %d", before, after)
	}
}

// TestARouteConfigurationThatOthersHaveAsWell changes a virtual host that a namespace has for itself while all others have
// a route configuration of that name, and while they have none, of which the namespace's own plan says nothing. What else
// is in the configuration is the namespace's own as well, so that none of its virtual hosts comes or goes.
func TestARouteConfigurationThatOthersHaveAsWell(t *testing.T) {
	entry := func(namespace string, exportTo ...string) *model.Object {
		return storetest.Object(model.KindServiceEntry, namespace, "x", &networking.ServiceEntry{
			Hosts: []string{"x.example.com"}, ExportTo: exportTo, Resolution: networking.ServiceEntry_DNS,
			Ports: []*networking.ServicePort{{Number: 8080, Name: "http", Protocol: "HTTP"}},
		})
	}
	rule := func(path string) *model.Object {
		return storetest.Object(model.KindVirtualService, "a", "rule", &networking.VirtualService{
			Hosts: []string{"x.example.com"}, ExportTo: []string{"."},
			Http: []*networking.HTTPRoute{{
				Rewrite: &networking.HTTPRewrite{Uri: path},
				Route:   []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "x.example.com"}}},
			}},
		})
	}
	others := entry("b")
	none := &model.Object{Key: others.Key}
	counted, err := structpb.NewStruct(map[string]any{"include_request_attempt_count": true})
	if err != nil {
		t.Fatal(err)
	}
	filter := storetest.Object(model.KindEnvoyFilter, "a", "counted", &networking.EnvoyFilter{
		ConfigPatches: []*networking.EnvoyFilter_EnvoyConfigObjectPatch{{
			ApplyTo: networking.EnvoyFilter_VIRTUAL_HOST,
			Match:   &networking.EnvoyFilter_EnvoyConfigObjectMatch{Context: networking.EnvoyFilter_SIDECAR_OUTBOUND},
			Patch:   &networking.EnvoyFilter_Patch{Operation: networking.EnvoyFilter_Patch_MERGE, Value: counted},
		}},
	})
	f, d := storetest.NewFeed(t, nil, entry("a", "."), others, filter), newDriver(t)
	d.apply(f.Edit()...)
	proxy := storetest.Sidecar("a", "p", "10.0.0.1")
	client := d.join(proxy)
	for step, edit := range [][]*model.Object{
		{rule("/over")},
		{none},
		{rule("/alone")},
		{others},
		{rule("/over-again")},
		{none},
		{rule("/alone-again")},
		{others},
		{rule("/last"), none},
		{rule("/once-more")},
	} {
		for _, commit := range f.Edit(edit...) {
			d.apply(commit)
			want, _ := fromScratch(t, commit, Options{})(proxy)
			if difference := differ(client.now(), want); difference != "" {
				t.Fatalf("step %d: %s", step, difference)
			}
		}
	}
}
