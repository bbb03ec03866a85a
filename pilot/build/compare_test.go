package build

import (
	"maps"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// TestOutlinesAreComparedAsTheirUnitsSay compares outlines of random histories with those of the commit before, and
// with those of the layer below. What Compare finds by walking lists is what looking each unit up finds.
func TestOutlinesAreComparedAsTheirUnitsSay(t *testing.T) {
	found := Differences{}
	for seed := range uint64(2) {
		former := map[*layer]Outline{}
		h := history{seed: seed, after: func(d *driver, _ []store.Row) {
			for _, l := range d.builder.layers {
				if was := former[l]; was != nil && l.outline != nil {
					checkCompare(t, l.outline, was, &found)
				}
				if l.varies() && l.outline != nil && l.below.outline != nil {
					checkCompare(t, l.outline, l.below.outline, &found)
				}
				former[l] = l.outline
			}
		}}
		if difference := h.run(t); difference != "" {
			t.Fatal(difference)
		}
	}
	kinds := map[Kind]bool{}
	for _, id := range found[resolve.Gone] {
		kinds[id.Kind] = true
	}
	for _, k := range []Kind{kindClusters, kindAssignments, kindListener, kindVirtualHost, kindReferences, kindRouteHead} {
		if !kinds[k] {
			t.Errorf("no unit of kind %d has gone, so that nothing is known of those", k)
		}
	}
	if len(found[resolve.Altered]) == 0 {
		t.Error("no unit had another part of the plan")
	}
}

// checkCompare compares two outlines. A unit that is both Gone and Added has another part of the plan.
func checkCompare(t *testing.T, now, then Outline, found *Differences) {
	t.Helper()
	d := now.Compare(then)
	added, gone := ids(d[resolve.Added]), ids(d[resolve.Gone])
	for id := range maps.Clone(added) {
		if gone[id] {
			delete(added, id)
			delete(gone, id)
			d[resolve.Altered] = append(d[resolve.Altered], id)
		}
	}
	want, lost := ids(now.Units()), ids(then.Units())
	maps.DeleteFunc(want, func(id UnitID, _ bool) bool { return then.Has(id) })
	maps.DeleteFunc(lost, func(id UnitID, _ bool) bool { return now.Has(id) })
	if !maps.Equal(added, want) {
		t.Fatalf("added are %v, by their units %v", added, want)
	}
	if !maps.Equal(gone, lost) {
		t.Fatalf("gone are %v, by their units %v", gone, lost)
	}
	for _, id := range d[resolve.Altered] {
		if !now.Has(id) || !then.Has(id) {
			t.Fatalf("%v is altered, but not in both", id)
		}
	}
	found[resolve.Gone], found[resolve.Altered] = append(found[resolve.Gone], d[resolve.Gone]...), append(found[resolve.Altered], d[resolve.Altered]...)
}

func ids(list []UnitID) map[UnitID]bool {
	out := map[UnitID]bool{}
	for _, id := range list {
		out[id] = true
	}
	return out
}

// TestUnknownHostsAreTreatedAsTheSidecarSays changes nothing of a plan but what becomes of unknown destinations.
func TestUnknownHostsAreTreatedAsTheSidecarSays(t *testing.T) {
	says := func(mode networking.OutboundTrafficPolicy_Mode) *model.Object {
		return storetest.Object(model.KindSidecar, "a", "default", &networking.Sidecar{
			OutboundTrafficPolicy: &networking.OutboundTrafficPolicy{Mode: mode},
		})
	}
	f := storetest.NewFeed(t, nil, storetest.Service("b", "web", "172.16.1.1", corev1.ServicePort{Name: "http", Port: 80}),
		says(networking.OutboundTrafficPolicy_ALLOW_ANY))
	d := newDriver(t)
	d.apply(f.Edit()...)
	s := d.join(storetest.Sidecar("a", "client", "10.0.0.1"))
	before := s.set(resource.Routes).Get("80")
	commits := f.Edit(says(networking.OutboundTrafficPolicy_REGISTRY_ONLY))
	d.apply(commits...)
	want, _ := fromScratch(t, commits[len(commits)-1], Options{})(s.Proxy)
	if difference := differ(s.now(), want); difference != "" {
		t.Error(difference)
	}
	if s.set(resource.Routes).Get("80") == before {
		t.Error("the routes are as before")
	}
}
