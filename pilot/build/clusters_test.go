package build

import (
	"slices"
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// in puts objects into a cluster.
func in(cluster string, objects ...*model.Object) []*model.Object {
	for _, o := range objects {
		o.Cluster = cluster
	}
	return objects
}

// TestClusterLocalServices has a client in the control plane's own cluster and one in another, and services that are
// in both. Of a service that is local to its clusters a pod of the one changes nothing for the client in the other, be
// it balanced or headless. When the mesh says that it is reached from everywhere, each gets what the other has.
func TestClusterLocalServices(t *testing.T) {
	tcp := corev1.ServicePort{Name: "tcp", Port: 80}
	services := func() []*model.Object {
		return []*model.Object{
			storetest.Service("kube-system", "local", "172.16.0.1", tcp), storetest.Service("kube-system", "headless", corev1.ClusterIPNone, tcp),
			storetest.Service("a", "shared", "172.16.0.2", tcp),
		}
	}
	pod := func(cluster, namespace, app, ip string) *model.Object {
		return in(cluster, storetest.Pod(namespace, app+"-0", ip, map[string]string{"app": app}))[0]
	}
	f := storetest.NewFeed(t, nil, append(services(), in("far", services()...)...)...)
	d := newDriver(t)
	d.apply(f.Edit()...)
	join := func(name, cluster string) *seated {
		p := storetest.Sidecar("a", name, "10.0.1.1")
		p.ClusterID, p.DNSCapture = cluster, true
		return d.join(p)
	}
	near, far := join("near", "Kubernetes"), join("far", "far")
	kinds := []resource.Type{resource.Endpoints, resource.Listeners, resource.NameTables}
	var last *store.Snapshot
	for _, edit := range []struct {
		about     string
		object    *model.Object
		near, far []resource.Type // that change for the client there
	}{
		{"a pod behind a local service here", pod("", "kube-system", "local", "10.0.0.1"), kinds[:1], nil},
		{"one there", pod("far", "kube-system", "local", "10.9.0.1"), nil, kinds[:1]},
		{"one behind a shared service there", pod("far", "a", "shared", "10.9.0.2"), kinds[:1], kinds[:1]},
		{"one behind a headless service here", pod("", "kube-system", "headless", "10.0.0.3"), kinds[1:], nil},
		{"one there", pod("far", "kube-system", "headless", "10.9.0.3"), nil, kinds[1:]},
		{"all are shared", storetest.Object(model.KindMeshConfig, model.RootNamespace, model.MeshConfigName, everywhere()), kinds, kinds},
		{"a pod there once more", pod("far", "kube-system", "local", "10.9.0.9"), kinds[:1], kinds[:1]},
	} {
		before := map[*seated]Result{near: near.now(), far: far.now()}
		for _, c := range f.Edit(edit.object) {
			d.apply(c)
			last = c.Snapshot
		}
		for client, want := range map[*seated][]resource.Type{near: edit.near, far: edit.far} {
			for _, kind := range kinds {
				changed := false
				for r := range client.set(kind).All() {
					former := before[client].Sets[kind].Get(r.Name)
					changed = changed || former == nil || former.Version != r.Version
				}
				if changed != slices.Contains(want, kind) {
					t.Errorf("%s: %s of the client in %s changed: %t", edit.about, kind, client.Class.ClusterID, changed)
				}
			}
			fresh := New(Options{})
			if _, err := fresh.Advance(t.Context(), store.Commit{Snapshot: last, Full: true}); err != nil {
				t.Fatal(err)
			}
			seat := fresh.Seat(client.Proxy)
			for _, kind := range kinds {
				if got, want := client.set(kind), fresh.Result(&seat.Class).Sets[kind]; got.Version() != want.Version() {
					t.Errorf("%s: %s of the client in %s are not those of a fresh start", edit.about, kind, client.Class.ClusterID)
				}
			}
		}
	}
}

// everywhere is a mesh in which nothing is local to its cluster.
func everywhere() *meshconfig.MeshConfig {
	out := model.DefaultMeshConfig()
	out.ServiceSettings = []*meshconfig.MeshConfig_ServiceSettings{{Hosts: []string{"*.kube-system.svc.cluster.local"}}}
	return out
}
