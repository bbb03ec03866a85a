package build

import (
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	typev1beta1 "istio.io/api/type/v1beta1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
	"github.com/pilothouse-mesh/pilothouse/test/trap"
)

// A policy of one workload changes what that workload receives and nothing else: not what it sends, and
// nothing of its neighbours, though the class of its proxy is another one.
func TestAPolicyTouchesOnlyTheWorkloadItSelects(t *testing.T) {
	port := corev1.ServicePort{Name: "http", Port: 80}
	feed := storetest.NewFeed(t, nil,
		storetest.Service("a", "web", "172.16.0.1", port), storetest.Pod("a", "web-0", "10.0.0.1", map[string]string{"app": "web"}),
		storetest.Service("a", "db", "172.16.0.2", port), storetest.Pod("a", "db-0", "10.0.0.2", map[string]string{"app": "db"}))
	d := newDriver(t)
	d.apply(feed.Edit()...)
	web, db := d.join(storetest.Sidecar("a", "web-0", "10.0.0.1")), d.join(storetest.Sidecar("a", "db-0", "10.0.0.2"))
	key := model.KeySetSource{URL: "https://keys.example"}.Key()
	keys := func(set string) *model.Object {
		return storetest.Object(key.Kind, "", key.Name, &model.KeySet{Keys: set})
	}
	selector := &typev1beta1.WorkloadSelector{MatchLabels: map[string]string{"app": "web"}}
	for name, edit := range map[string][]*model.Object{
		"a policy":       {storetest.Object(model.KindAuthorizationPolicy, "a", "p", &security.AuthorizationPolicy{Selector: selector})},
		"another policy": {storetest.Object(model.KindAuthorizationPolicy, "a", "p", &security.AuthorizationPolicy{Selector: selector, Rules: []*security.Rule{{}}})},
		"tokens": {storetest.Object(model.KindRequestAuthentication, "a", "p", &security.RequestAuthentication{
			Selector: selector, JwtRules: []*security.JWTRule{{Issuer: "a", JwksUri: "https://keys.example"}},
		}), keys("one")},
	} {
		before, neighbour, sends := web.set(resource.Listeners), db.set(resource.Listeners), web.outbound()
		d.apply(feed.Edit(edit...)...)
		if web.set(resource.Listeners) == before {
			t.Errorf("%s: the workload's listeners are as before", name)
		}
		if db.set(resource.Listeners) != neighbour {
			t.Errorf("%s: the neighbour gets other listeners", name)
		}
		if web.outbound() != sends || web.outbound() != db.outbound() {
			t.Errorf("%s: what the workload sends is computed apart", name)
		}
	}
	before, neighbour := web.set(resource.Listeners), db.set(resource.Listeners)
	d.apply(feed.Edit(keys("two"))...)
	if web.set(resource.Listeners) == before || db.set(resource.Listeners) != neighbour {
		t.Error("a change of keys has to reach the workload that uses them, and no other")
	}
	trap.Apart(t, "keys-reach-their-proxies", web.set(resource.Listeners) == before, true)
}

// Where routes ask for claims a RequestAuthentication of one workload also decides about what that one sends, and of
// its neighbours still nothing changes.
func TestTokensOfWhatIsSentAreOfTheWorkload(t *testing.T) {
	port := corev1.ServicePort{Name: "http", Port: 80}
	feed := storetest.NewFeed(t, nil,
		storetest.Service("a", "web", "172.16.0.1", port), storetest.Pod("a", "web-0", "10.0.0.1", map[string]string{"app": "web"}),
		storetest.Service("a", "db", "172.16.0.2", port), storetest.Pod("a", "db-0", "10.0.0.2", map[string]string{"app": "db"}),
		storetest.Object(model.KindVirtualService, "a", "claims", &networking.VirtualService{Hosts: []string{"web.a.svc.cluster.local"}, Http: []*networking.HTTPRoute{{
			Match: []*networking.HTTPMatchRequest{{Headers: map[string]*networking.StringMatch{"@request.auth.claims.group": {}}}},
			Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "db.a.svc.cluster.local"}}},
		}}}))
	d := newDriver(t)
	d.apply(feed.Edit()...)
	web, db := d.join(storetest.Sidecar("a", "web-0", "10.0.0.1")), d.join(storetest.Sidecar("a", "db-0", "10.0.0.2"))
	sent := func(s *seated) string {
		for r := range s.set(resource.Listeners).All() {
			if r.Name == "0.0.0.0_80" {
				return r.Version
			}
		}
		t.Fatal("there is no listener of port 80")
		return ""
	}
	sends, neighbour := sent(web), db.set(resource.Listeners)
	d.apply(feed.Edit(storetest.Object(model.KindRequestAuthentication, "a", "t", &security.RequestAuthentication{
		Selector: &typev1beta1.WorkloadSelector{MatchLabels: map[string]string{"app": "web"}}, JwtRules: []*security.JWTRule{{Issuer: "a"}},
	}))...)
	if sent(web) == sends {
		t.Error("what the workload sends is as before")
	}
	if db.set(resource.Listeners) != neighbour {
		t.Error("the neighbour gets other listeners")
	}
}
