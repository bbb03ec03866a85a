package kube

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/client-go/rest"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// sink takes what a source delivers, for one goroutine to look at.
type sink struct{ calls chan func(*state) }

type state struct {
	objects  map[model.Key]*model.Object
	problems []model.Problem
	synced   bool
	events   int
}

func (s sink) Apply(_ string, events []model.Event, problems []model.Problem) {
	s.calls <- func(st *state) {
		for _, e := range events {
			st.events++
			if e.New == nil {
				delete(st.objects, e.Key)
			} else {
				st.objects[e.Key] = e.New
			}
		}
		st.problems = problems
	}
}

func (s sink) Synced(string) { s.calls <- func(st *state) { st.synced = true } }

// watchedSource is a running source and what it has delivered.
type watchedSource struct {
	*testing.T
	source *Source
	sink   sink
	state
}

func run(t *testing.T, url string) *watchedSource {
	t.Helper()
	source, err := New(&rest.Config{Host: url}, Options{MaxBackoff: 50 * time.Millisecond, Condition: "Accepted"})
	if err != nil {
		t.Fatal(err)
	}
	w := &watchedSource{T: t, source: source, sink: sink{make(chan func(*state), 1000)}, state: state{objects: map[model.Key]*model.Object{}}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- source.Run(ctx, w.sink) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

// until takes what is delivered until it is as wanted.
func (w *watchedSource) until(what string, wanted func() bool) {
	w.Helper()
	deadline := time.After(time.Minute)
	for !wanted() {
		select {
		case call := <-w.sink.calls:
			call(&w.state)
		case <-deadline:
			w.Fatalf("never: %s; objects %v, problems %v, synced %v", what, w.objects, w.problems, w.synced)
		}
	}
}

func (w *watchedSource) has(kind model.Kind, namespace, name string) func() bool {
	return func() bool { return w.objects[model.Key{Kind: kind, Namespace: namespace, Name: name}] != nil }
}

func not(f func() bool) func() bool { return func() bool { return !f() } }

func service(name string) object {
	return object{
		"apiVersion": "v1", "kind": "Service", "metadata": object{"name": name, "namespace": "shop"},
		"spec": object{"clusterIP": "10.0.0.1", "ports": []any{object{"name": "http", "port": 80}}},
	}
}

func route(name, host string) object {
	return object{
		"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": object{"name": name, "namespace": "shop"},
		"spec": object{"hosts": []any{host}, "http": []any{object{"route": []any{object{"destination": object{"host": host}}}}}},
	}
}

func definition(name string) object {
	return object{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object{"name": name}}
}

const (
	routes           = "networking.istio.io/v1/virtualservices"
	routesDefinition = "virtualservices.networking.istio.io"
)

func TestObjectsAndTheirChanges(t *testing.T) {
	api, url := newAPIServer(t, routes)
	api.put(definitionsPath, definition(routesDefinition))
	api.put("v1/services", service("cart"))
	api.put(routes, route("cart", "cart"))
	w := run(t, url)
	w.until("synced", func() bool { return w.synced })
	for _, k := range []model.Kind{model.KindService, model.KindVirtualService} {
		if !w.has(k, "shop", "cart")() {
			t.Errorf("no %s before the source says that it has all", k)
		}
	}
	api.put("v1/services", service("pay"))
	w.until("an added Service", w.has(model.KindService, "shop", "pay"))
	api.remove("v1/services", service("cart"))
	w.until("a deleted Service", not(w.has(model.KindService, "shop", "cart")))
	api.put(routes, route("cart", "pay"))
	w.until("a changed route", func() bool {
		o := w.objects[model.Key{Kind: model.KindVirtualService, Namespace: "shop", Name: "cart"}]
		return o.Spec.(*networking.VirtualService).Hosts[0] == "pay"
	})
}

func TestBookkeepingIsNoChange(t *testing.T) {
	api, url := newAPIServer(t)
	pod := func(restarts int, ip string) object {
		return object{
			"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "p", "namespace": "shop", "annotations": object{"note": strconv.Itoa(restarts)}},
			"status": object{"podIP": ip, "containerStatuses": []any{object{"name": "c", "restartCount": restarts}}},
		}
	}
	w := run(t, url)
	api.put("v1/pods", pod(0, "10.0.0.1"))
	w.until("a pod", w.has(model.KindPod, "shop", "p"))
	before := w.events
	for n := range 10 {
		api.put("v1/pods", pod(n, "10.0.0.1"))
	}
	api.put("v1/pods", pod(10, "10.0.0.2"))
	w.until("another address", func() bool { return w.events > before })
	if w.events != before+1 {
		t.Errorf("%d events of one change", w.events-before)
	}
}

func TestInvalidObjects(t *testing.T) {
	api, url := newAPIServer(t, routes)
	api.put(definitionsPath, definition(routesDefinition))
	api.put(routes, route("good", "a"))
	bad := route("bad", "b")
	bad["spec"].(object)["http"] = []any{object{"name": "nowhere"}}
	api.put(routes, bad)
	w := run(t, url)
	w.until("synced", func() bool { return w.synced })
	named := func(name string) func() bool {
		return func() bool {
			return slices.ContainsFunc(w.problems, func(p model.Problem) bool { return p.Object.Name == name && p.Severity == model.SeverityError })
		}
	}
	if w.has(model.KindVirtualService, "shop", "bad")() || !named("bad")() || !w.has(model.KindVirtualService, "shop", "good")() {
		t.Errorf("objects %v, problems %v", w.objects, w.problems)
	}
	worse := route("good", "a")
	worse["spec"] = bad["spec"]
	api.put(routes, worse)
	w.until("a problem of what became invalid", named("good"))
	if !w.has(model.KindVirtualService, "shop", "good")() {
		t.Error("what became invalid is not served as it was")
	}
	api.remove(routes, worse)
	w.until("a deleted object has no problem", not(named("good")))
	if w.has(model.KindVirtualService, "shop", "good")() {
		t.Error("a deleted object is served")
	}
}

func TestKindsComeAndGo(t *testing.T) {
	api, url := newAPIServer(t)
	w := run(t, url)
	w.until("synced without the kind", func() bool { return w.synced })
	api.put(definitionsPath, definition(routesDefinition)) // before it is established, its list is not found
	api.set(func(s *apiServer) { s.objects[routes] = map[string]object{} })
	api.put(routes, route("cart", "cart"))
	w.until("an object of a kind that came later", w.has(model.KindVirtualService, "shop", "cart"))
	api.set(func(s *apiServer) { delete(s.objects, routes) })
	api.remove(definitionsPath, definition(routesDefinition))
	w.until("the object goes with its kind", not(w.has(model.KindVirtualService, "shop", "cart")))
}

func TestAnOlderVersionOfAKind(t *testing.T) {
	const old = "networking.istio.io/v1beta1/virtualservices"
	api, url := newAPIServer(t, old)
	api.put(definitionsPath, definition(routesDefinition))
	o := route("cart", "cart")
	o["apiVersion"] = "networking.istio.io/v1beta1"
	api.put(old, o)
	w := run(t, url)
	w.until("an object of an older version", w.has(model.KindVirtualService, "shop", "cart"))
}

func TestTheAPIServerIsAway(t *testing.T) {
	api, url := newAPIServer(t)
	api.set(func(s *apiServer) { s.down = true })
	w := run(t, url)
	degraded := func() bool {
		return slices.ContainsFunc(w.problems, func(p model.Problem) bool {
			return p.Reason == model.ReasonDegraded && strings.Contains(p.Message, "services")
		})
	}
	w.until("a problem", degraded)
	if w.synced {
		t.Fatal("synced with nothing")
	}
	api.put("v1/services", service("cart"))
	api.set(func(s *apiServer) { s.down = false })
	w.until("synced", func() bool { return w.synced && !degraded() })
	api.set(func(s *apiServer) { s.down = true })
	w.until("a problem again", degraded)
	if !w.has(model.KindService, "shop", "cart")() {
		t.Error("what was known is gone")
	}
	api.remove("v1/services", service("cart"))
	api.put("v1/services", service("pay"))
	api.set(func(s *apiServer) { s.down = false })
	w.until("what happened meanwhile", func() bool {
		return w.has(model.KindService, "shop", "pay")() && !w.has(model.KindService, "shop", "cart")() && !degraded()
	})
}

func TestDefinitionsMayNotBeRead(t *testing.T) {
	api, url := newAPIServer(t, routes)
	api.denied[definitionsPath] = true
	api.put(routes, route("cart", "cart"))
	w := run(t, url)
	w.until("synced", func() bool { return w.synced })
	if !w.has(model.KindVirtualService, "shop", "cart")() {
		t.Error("a kind whose definition may not be read is not served")
	}
}

func TestMeshConfiguration(t *testing.T) {
	api, url := newAPIServer(t)
	w := run(t, url)
	w.until("synced", func() bool { return w.synced })
	api.put("v1/configmaps", object{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"name": "istio", "namespace": "istio-system"},
		"data": object{"mesh": "trustDomain: example.org\n"},
	})
	w.until("the mesh configuration", func() bool {
		o := w.objects[model.Key{Kind: model.KindMeshConfig, Namespace: "istio-system", Name: "istio"}]
		return o != nil && o.Spec.(*meshconfig.MeshConfig).TrustDomain == "example.org"
	})
}

func TestSecrets(t *testing.T) {
	api, url := newAPIServer(t)
	api.put("v1/secrets", object{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": object{"name": "shop-tls", "namespace": "istio-system"},
		"data": object{"tls.crt": "Y2VydA==", "tls.key": "a2V5"},
	})
	w := run(t, url)
	w.until("a Secret", w.has(model.KindSecret, "istio-system", "shop-tls"))
	if _, small := w.objects[model.Key{Kind: model.KindSecret, Namespace: "istio-system", Name: "shop-tls"}].Spec.(*model.Secret); !small {
		t.Error("the whole Secret is kept")
	}
	api.mu.Lock()
	defer api.mu.Unlock()
	for _, own := range []string{"istio-ca-secret", "cacerts"} {
		if !strings.Contains(api.asked["v1/secrets"], "metadata.name!="+own) {
			t.Errorf("the CA's Secret %s is asked for: %s", own, api.asked["v1/secrets"])
		}
	}
}
