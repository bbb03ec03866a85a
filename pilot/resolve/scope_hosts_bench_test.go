package resolve

import (
	"fmt"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// BenchmarkEgressHosts finds what a Sidecar imports that names each of many services. It is to grow as they do.
func BenchmarkEgressHosts(b *testing.B) {
	for _, n := range []int{500, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var objects []*model.Object
			var hosts []string
			for i := range n {
				name := fmt.Sprintf("s%d", i)
				objects = append(objects, storetest.Service("a", name, fmt.Sprintf("10.1.%d.%d", i/250, i%250+1), corev1.ServicePort{Name: "http", Port: 80}))
				hosts = append(hosts, "a/"+name+".a.svc.cluster.local", fmt.Sprintf("*/*.x%d", i))
			}
			sidecar := storetest.Object(model.KindSidecar, "b", "default", &networking.Sidecar{
				Egress: []*networking.IstioEgressListener{{Hosts: hosts}},
			})
			objects = append(objects, sidecar)
			r := store.FromObjects(objects, store.Options{Domain: "cluster.local"}).Reader(nil)
			c := &Class{Type: model.SidecarProxy, Namespace: "b", Sidecar: sidecar.Key}
			for b.Loop() {
				if services := newScope(r, c).services; len(services) != n {
					b.Fatalf("%d services are imported, of %d", len(services), n)
				}
			}
		})
	}
}
