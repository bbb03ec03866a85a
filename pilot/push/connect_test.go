package push

import (
	"strconv"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// TestConnectBesideApply connects proxies of many classes while the mesh changes. Each ends with the
// view of the last state, whichever it began with.
func TestConnectBesideApply(t *testing.T) {
	http := corev1.ServicePort{Name: "http", Port: 80}
	f, d := storetest.NewFeed(t, nil, storetest.Service("a", "web", "172.16.0.1", http)), newDriver(t)
	d.apply(f.Edit()...)
	var commits []store.Commit
	for i := range 20 {
		commits = append(commits, f.Edit(storetest.Service("a", "s"+strconv.Itoa(i), "172.16.1."+strconv.Itoa(i+1), http))...)
	}
	var work sync.WaitGroup
	clients := make([]*viewer, 60)
	for i := range clients {
		node := proxy(t, "ns-"+strconv.Itoa(i%20), "p", "10.0.0.1")
		node.DNSCapture = i%2 == 0
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
	want := join(t, d.engine, proxy(t, "ns-0", "last", "10.0.0.1")).now().Set(resource.Clusters)
	for _, c := range clients {
		if got := c.now().Set(resource.Clusters); got != want {
			t.Errorf("%s has %d clusters, want %d", c.node.Namespace, got.Len(), want.Len())
		}
		if c.news == 0 {
			t.Errorf("%s was told of no view", c.node.Namespace)
		}
	}
}
