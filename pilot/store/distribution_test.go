package store

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestAServiceEntryMayPreferNearEndpoints reads the annotation that a Service may have too, and another version that
// differs by it alone.
func TestAServiceEntryMayPreferNearEndpoints(t *testing.T) {
	entry := func(prefers string) *model.Object {
		return &model.Object{
			Key:         model.Key{Kind: model.KindServiceEntry, Namespace: "ns", Name: "e"},
			Annotations: map[string]string{trafficDistribution: prefers},
			Spec:        &networking.ServiceEntry{Hosts: []string{"e.example.com"}},
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := running(t, Options{Domain: "cluster.local"})
		var old *model.Object
		for _, c := range []struct{ annotation, want string }{
			{"Any", ""}, {"PreferSameNode", model.PreferSameNode}, {"preferclose", model.PreferSameZone}, {"", ""},
		} {
			o := entry(c.annotation)
			s.Apply("file", []model.Event{{Key: o.Key, Old: old, New: o}}, nil)
			s.Synced("file")
			old = o
			time.Sleep(time.Minute)
			commit := commitNow(s)
			if commit == nil {
				t.Fatalf("%q: nothing is committed", c.annotation)
			}
			services := commit.Snapshot.Services("ns")
			if len(services) != 1 || services[0].TrafficDistribution != c.want {
				t.Errorf("%q: services %+v", c.annotation, services)
			}
		}
	})
}

// TestANamespacePrefersForItsServices changes the annotation of a namespace, from which a Service and a ServiceEntry
// without one have theirs.
func TestANamespacePrefersForItsServices(t *testing.T) {
	const yaml = `
{apiVersion: v1, kind: Service, metadata: {name: heirs, namespace: ns}, spec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: own, namespace: ns, annotations: {networking.istio.io/traffic-distribution: Any}}, spec: {clusterIP: 10.0.0.2, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: specs, namespace: ns}, spec: {clusterIP: 10.0.0.3, trafficDistribution: PreferSameNode, ports: [{port: 80}]}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: entry, namespace: ns}, spec: {hosts: [entry.example.com], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}]}}
`
	namespace := func(prefers string) *model.Object {
		return &model.Object{Key: model.Key{Kind: model.KindNamespace, Name: "ns"}, Annotations: map[string]string{trafficDistribution: prefers}}
	}
	synctest.Test(t, func(t *testing.T) {
		s := running(t, Options{Domain: "cluster.local"})
		var events []model.Event
		for _, o := range decode(t, yaml) {
			events = append(events, model.Event{Key: o.Key, New: o})
		}
		s.Apply("file", events, nil)
		s.Synced("file")
		var old *model.Object
		for _, c := range []struct{ annotation, want string }{{"PreferClose", model.PreferSameZone}, {"PreferSameNode", model.PreferSameNode}, {"", ""}} {
			o := namespace(c.annotation)
			s.Apply("file", []model.Event{{Key: o.Key, Old: old, New: o}}, nil)
			old = o
			time.Sleep(time.Minute)
			got := map[string]string{}
			for _, svc := range commitNow(s).Snapshot.Services("ns") {
				got[svc.Name] = svc.TrafficDistribution
			}
			want := map[string]string{"heirs": c.want, "entry.example.com": c.want, "own": "", "specs": model.PreferSameNode}
			if !maps.Equal(got, want) {
				t.Errorf("%q: %v, want %v", c.annotation, got, want)
			}
		}
	})
}
