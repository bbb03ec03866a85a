package build

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// TestAProxyIsClassifiedAgainWhenItsPodComes connects proxies before what they prove is known: one whose Pod comes
// later, and one that names another Pod than it is, which shows when its address is known, and again when it moves.
func TestAProxyIsClassifiedAgainWhenItsPodComes(t *testing.T) {
	port := corev1.ServicePort{Name: "http", Port: 80}
	web, api := map[string]string{"app": "web", "version": "v1"}, map[string]string{"app": "api", "version": "v1"}
	pod := func(name, ip string, labels map[string]string) *model.Object {
		o := storetest.Pod("a", name, ip, labels)
		o.Spec.(*corev1.Pod).Spec.ServiceAccountName = "shop"
		return o
	}
	f := storetest.NewFeed(t, nil,
		storetest.Service("a", "web", "172.16.0.1", port), storetest.Service("a", "api", "172.16.0.2", port), pod("api", "10.0.0.2", api))
	d := newDriver(t)
	d.apply(f.Edit()...)
	join := func(name, peer string) *seated {
		p := storetest.Sidecar("a", name, peer)
		p.Labels, p.Peer, p.Proof = api, peer, &model.Proof{ServiceAccount: "shop"}
		return d.join(p)
	}
	early, liar := join("early", "10.0.0.7"), join("api", "10.0.0.1")
	before, told := map[*seated]bool{}, map[*Seat]bool{}
	edit := func(objects ...*model.Object) {
		for _, c := range f.Edit(objects...) {
			d.apply(c)
			for _, s := range d.work.Doubted {
				told[s] = true
			}
		}
	}
	serves := func(when string, s *seated, host string, doubted bool) {
		t.Helper()
		if told[s.Seat] != (doubted != before[s]) {
			t.Errorf("%s: that %s is doubted or no more is told: %v", when, s.Proxy.Name, told[s.Seat])
		}
		before[s], told[s.Seat] = doubted, false
		if in := s.Class.Inbound; len(in) != 1 || in[0].Service.Name != host || (s.Doubt != "") != doubted {
			t.Errorf("%s: %s serves %v, doubt %q", when, s.Proxy.Name, in, s.Doubt)
		}
	}
	serves("before its Pod", early, "api", false) // as it says
	edit(pod("early", "10.0.0.7", web))
	serves("with its Pod", early, "web", false)
	serves("before its address is known", liar, "api", false)
	edit(pod("web", "10.0.0.1", web))
	serves("with the Pod of its address", liar, "web", true)
	edit(pod("web", "10.0.0.3", web), pod("api", "10.0.0.1", api))
	serves("with another Pod of its address", liar, "api", false)
	edit(pod("early", "10.0.0.8", web))
	serves("with a new address of its Pod", early, "web", false)
}
