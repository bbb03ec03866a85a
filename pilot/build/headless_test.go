package build

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
	"github.com/pilothouse-mesh/pilothouse/test/trap"
)

// A pod of a headless service has a listener of its own at its clients, which comes with the pod.
func TestEndpointsOfHeadlessServicesAreListeners(t *testing.T) {
	labels := map[string]string{"app": "db"}
	feed := storetest.NewFeed(t, nil,
		storetest.Service("a", "db", corev1.ClusterIPNone, corev1.ServicePort{Name: "tcp", Port: 5432}), storetest.Pod("a", "db-0", "10.0.0.1", labels))
	d := newDriver(t)
	d.apply(feed.Edit()...)
	client := d.join(storetest.Sidecar("a", "client", "10.0.0.9"))
	before := named(client, "10.0.0.1_5432", "10.0.0.2_5432")
	d.apply(feed.Edit(storetest.Pod("a", "db-1", "10.0.0.2", labels))...)
	after := named(client, "10.0.0.1_5432", "10.0.0.2_5432")
	if !slices.Equal(before, []bool{true, false}) || !slices.Equal(after, []bool{true, true}) {
		t.Errorf("there are listeners %v of the first pod and the second, then %v", before, after)
	}
	trap.Apart(t, "endpoints-are-listeners", after, before)
}

// named tells which of some listeners a client has.
func named(s *seated, names ...string) []bool {
	var out []bool
	for _, name := range names {
		out = append(out, s.set(resource.Listeners).Get(name) != nil)
	}
	return out
}
