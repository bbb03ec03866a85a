package store

import (
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
