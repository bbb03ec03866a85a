package store

import (
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestDeltaNamesReaders changes one VirtualService's export from namespace b to c.
func TestDeltaNamesReaders(t *testing.T) {
	at := func(kind model.Kind, name string, spec any) *model.Object {
		return &model.Object{Key: model.Key{Kind: kind, Namespace: "a", Name: name}, Spec: spec}
	}
	svc := at(model.KindService, "web", &corev1.Service{})
	route := func(exportTo string) *model.Object {
		return at(model.KindVirtualService, "route", &networking.VirtualService{Hosts: []string{"*.a.svc.cluster.local"}, ExportTo: []string{exportTo}})
	}
	old := FromObjects([]*model.Object{svc, route("b")}, Options{})
	next := FromObjects([]*model.Object{svc, route("c")}, Options{})
	d := next.DeltaSince(old, Commit{Changed: map[model.Key]struct{}{route("").Key: {}}})
	readers := d.Hosts["web.a.svc.cluster.local"]
	for ns, want := range map[string]bool{"a": false, "b": true, "c": true} {
		if readers.Has(ns) != want || d.Lists.Has(ns) != want || d.Classes.Has(ns) {
			t.Errorf("namespace %s: got %v and %v, want %v", ns, readers.Has(ns), d.Lists.Has(ns), want)
		}
	}
	if d.All || len(d.Hosts) != 1 || len(d.Endpoints) != 0 {
		t.Errorf("got more than that: %+v", d)
	}
	if !next.DeltaSince(nil, Commit{}).All || !next.DeltaSince(old, Commit{Full: true}).All {
		t.Error("the first snapshot and a full commit change everything")
	}
}
