package build

import (
	"cmp"
	"slices"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// TestWhatAChangeAlters tells of each part of a plan which units have another one after a change that leaves their names
// as they were. From scratch nothing shows that one is missing where its unit reads a row that changes as well.
func TestWhatAChangeAlters(t *testing.T) {
	http := corev1.ServicePort{Name: "http", Port: 8080}
	web := func(ports ...corev1.ServicePort) *model.Object {
		return storetest.Service("b", "web", "172.16.1.1", ports...)
	}
	named := func(name, other string) *model.Object {
		return storetest.Object(model.KindVirtualService, "b", name, &networking.VirtualService{
			Hosts: []string{"web", "x.example.com", other},
			Http:  []*networking.HTTPRoute{{Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "web"}}}}},
		})
	}
	egress := func(hosts ...string) *model.Object {
		return storetest.Object(model.KindSidecar, "a", "default", &networking.Sidecar{Egress: []*networking.IstioEgressListener{
			{Port: &networking.SidecarPort{Number: 8080, Protocol: "HTTP", Name: "http"}, Hosts: hosts}, {Hosts: []string{"b/*"}},
		}})
	}
	unknown := func(mode networking.OutboundTrafficPolicy_Mode) *model.Object {
		return storetest.Object(model.KindSidecar, "a", "default", &networking.Sidecar{OutboundTrafficPolicy: &networking.OutboundTrafficPolicy{Mode: mode}})
	}
	host := func(name string) UnitID { return UnitID{Kind: kindVirtualHost, Name: "8080", Host: name} }
	listener := UnitID{Kind: kindListener, Name: "0.0.0.0_8080"}
	const svc, anyHost = "web.b.svc.cluster.local", "*"
	for _, test := range []struct {
		name          string
		before, after []*model.Object
		want          []UnitID
	}{
		{"a service's HTTP port", []*model.Object{web(http)}, []*model.Object{web(corev1.ServicePort{Name: "http2", Port: 8080})}, []UnitID{host(svc)}},
		{
			"a service's TCP port",
			[]*model.Object{web(corev1.ServicePort{Name: "tcp", Port: 9000})},
			[]*model.Object{web(corev1.ServicePort{Name: "tls", Port: 9000})},
			[]UnitID{{Kind: kindListener, Name: "172.16.1.1_9000"}},
		},
		{
			"rules that name a host",
			[]*model.Object{web(http), named("one", "y.example.com")},
			[]*model.Object{web(http), named("one", "y.example.com"), named("two", "y.example.com"), named("three", "z.example.com")},
			[]UnitID{host("x.example.com"), host("y.example.com")},
		},
		{"hosts of an egress listener", []*model.Object{web(http), egress("b/*")}, []*model.Object{web(http), egress("b/*", "c/*")}, []UnitID{listener, host(svc)}},
		{
			"unknown destinations",
			[]*model.Object{web(http), unknown(networking.OutboundTrafficPolicy_ALLOW_ANY)},
			[]*model.Object{web(http), unknown(networking.OutboundTrafficPolicy_REGISTRY_ONLY)},
			[]UnitID{listener, host(anyHost), {Kind: kindOutbound}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			outline := func(objects []*model.Object) Outline {
				r := store.FromObjects(objects, store.Options{}).Reader(nil)
				c := resolve.Classify(r, storetest.Sidecar("a", "client", "10.0.0.1"))
				return newOutboundOutline(r, &c, nil)
			}
			altered := outline(test.after).Compare(outline(test.before))[resolve.Altered]
			slices.SortFunc(altered, func(a, b UnitID) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Host, b.Host)) })
			if !slices.Equal(altered, test.want) {
				t.Errorf("altered are %+v, want %+v", altered, test.want)
			}
		})
	}
}
