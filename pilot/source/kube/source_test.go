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
	"github.com/pilothouse-mesh/pilothouse/test/kubetest"
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
	return runOf(t, &rest.Config{Host: url}, Options{MaxBackoff: 50 * time.Millisecond, Condition: "Accepted"})
}

func runOf(t *testing.T, config *rest.Config, opts Options) *watchedSource {
	t.Helper()
	source, err := New(config, opts)
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

func service(name string) kubetest.Object {
	return kubetest.Object{
		"apiVersion": "v1", "kind": "Service", "metadata": kubetest.Object{"name": name, "namespace": "shop"},
		"spec": kubetest.Object{"clusterIP": "10.0.0.1", "ports": []any{kubetest.Object{"name": "http", "port": 80}}},
	}
}

func route(name, host string) kubetest.Object {
	return kubetest.Object{
		"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": kubetest.Object{"name": name, "namespace": "shop"},
		"spec": kubetest.Object{"hosts": []any{host}, "http": []any{kubetest.Object{"route": []any{kubetest.Object{"destination": kubetest.Object{"host": host}}}}}},
	}
}

func definition(name string) kubetest.Object {
	return kubetest.Object{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": kubetest.Object{"name": name}}
}

const (
	routes           = "networking.istio.io/v1/virtualservices"
	routesDefinition = "virtualservices.networking.istio.io"
)

func TestObjectsAndTheirChanges(t *testing.T) {
	api, url := kubetest.New(t, routes)
	api.Put(kubetest.Definitions, definition(routesDefinition))
	api.Put("v1/services", service("cart"))
	api.Put(routes, route("cart", "cart"))
	w := run(t, url)
	w.until("synced", func() bool { return w.synced })
	for _, k := range []model.Kind{model.KindService, model.KindVirtualService} {
		if !w.has(k, "shop", "cart")() {
			t.Errorf("no %s before the source says that it has all", k)
		}
	}
	api.Put("v1/services", service("pay"))
	w.until("an added Service", w.has(model.KindService, "shop", "pay"))
	api.Remove("v1/services", service("cart"))
	w.until("a deleted Service", not(w.has(model.KindService, "shop", "cart")))
	api.Put(routes, route("cart", "pay"))
	w.until("a changed route", func() bool {
		o := w.objects[model.Key{Kind: model.KindVirtualService, Namespace: "shop", Name: "cart"}]
		return o.Spec.(*networking.VirtualService).Hosts[0] == "pay"
	})
}

func TestBookkeepingIsNoChange(t *testing.T) {
	api, url := kubetest.New(t)
	pod := func(restarts int, ip string) kubetest.Object {
		return kubetest.Object{
			"apiVersion": "v1", "kind": "Pod", "metadata": kubetest.Object{"name": "p", "namespace": "shop", "annotations": kubetest.Object{"note": strconv.Itoa(restarts)}},
			"status": kubetest.Object{"podIP": ip, "containerStatuses": []any{kubetest.Object{"name": "c", "restartCount": restarts}}},
		}
	}
	w := run(t, url)
	api.Put("v1/pods", pod(0, "10.0.0.1"))
	w.until("a pod", w.has(model.KindPod, "shop", "p"))
	before := w.events
	for n := range 10 {
		api.Put("v1/pods", pod(n, "10.0.0.1"))
	}
	api.Put("v1/pods", pod(10, "10.0.0.2"))
	w.until("another address", func() bool { return w.events > before })
	if w.events != before+1 {
		t.Errorf("%d events of one change", w.events-before)
	}
}

func TestInvalidObjects(t *testing.T) {
	api, url := kubetest.New(t, routes)
	api.Put(kubetest.Definitions, definition(routesDefinition))
	api.Put(routes, route("good", "a"))
	bad := route("bad", "b")
	bad["spec"].(kubetest.Object)["http"] = []any{kubetest.Object{"name": "nowhere"}}
	api.Put(routes, bad)
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
	api.Put(routes, worse)
	w.until("a problem of what became invalid", named("good"))
	if !w.has(model.KindVirtualService, "shop", "good")() {
		t.Error("what became invalid is not served as it was")
	}
	api.Remove(routes, worse)
	w.until("a deleted object has no problem", not(named("good")))
	if w.has(model.KindVirtualService, "shop", "good")() {
		t.Error("a deleted object is served")
	}
}

func TestKindsComeAndGo(t *testing.T) {
	api, url := kubetest.New(t)
	w := run(t, url)
	w.until("synced without the kind", func() bool { return w.synced })
	api.Put(kubetest.Definitions, definition(routesDefinition)) // before it is established, its list is not found
	api.Set(func(s *kubetest.Server) { s.Objects[routes] = map[string]kubetest.Object{} })
	api.Put(routes, route("cart", "cart"))
	w.until("an object of a kind that came later", w.has(model.KindVirtualService, "shop", "cart"))
	api.Set(func(s *kubetest.Server) { delete(s.Objects, routes) })
	api.Remove(kubetest.Definitions, definition(routesDefinition))
	w.until("the object goes with its kind", not(w.has(model.KindVirtualService, "shop", "cart")))
}

func TestAnOlderVersionOfAKind(t *testing.T) {
	const old = "networking.istio.io/v1beta1/virtualservices"
	api, url := kubetest.New(t, old)
	api.Put(kubetest.Definitions, definition(routesDefinition))
	o := route("cart", "cart")
	o["apiVersion"] = "networking.istio.io/v1beta1"
	api.Put(old, o)
	w := run(t, url)
	w.until("an object of an older version", w.has(model.KindVirtualService, "shop", "cart"))
}

func TestTheAPIServerIsAway(t *testing.T) {
	api, url := kubetest.New(t)
	api.Set(func(s *kubetest.Server) { s.Down = true })
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
	api.Put("v1/services", service("cart"))
	api.Set(func(s *kubetest.Server) { s.Down = false })
	w.until("synced", func() bool { return w.synced && !degraded() })
	api.Set(func(s *kubetest.Server) { s.Down = true })
	w.until("a problem again", degraded)
	if !w.has(model.KindService, "shop", "cart")() {
		t.Error("what was known is gone")
	}
	api.Remove("v1/services", service("cart"))
	api.Put("v1/services", service("pay"))
	api.Set(func(s *kubetest.Server) { s.Down = false })
	w.until("what happened meanwhile", func() bool {
		return w.has(model.KindService, "shop", "pay")() && !w.has(model.KindService, "shop", "cart")() && !degraded()
	})
}

func TestDefinitionsMayNotBeRead(t *testing.T) {
	api, url := kubetest.New(t, routes)
	api.Denied[kubetest.Definitions] = true
	api.Put(routes, route("cart", "cart"))
	w := run(t, url)
	w.until("synced", func() bool { return w.synced })
	if !w.has(model.KindVirtualService, "shop", "cart")() {
		t.Error("a kind whose definition may not be read is not served")
	}
}

func TestMeshConfiguration(t *testing.T) {
	api, url := kubetest.New(t)
	w := run(t, url)
	w.until("synced", func() bool { return w.synced })
	api.Put("v1/configmaps", kubetest.Object{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": kubetest.Object{"name": "istio", "namespace": "istio-system"},
		"data": kubetest.Object{"mesh": "trustDomain: example.org\n", "meshNetworks": "networks: {far: {gateways: [{address: 203.0.113.1, port: 443}]}}"},
	})
	w.until("the mesh configuration", func() bool {
		o := w.objects[model.Key{Kind: model.KindMeshConfig, Namespace: "istio-system", Name: "istio"}]
		return o != nil && o.Spec.(*meshconfig.MeshConfig).TrustDomain == "example.org"
	})
	networks := model.Key{Kind: model.KindMeshNetworks, Namespace: "istio-system", Name: "istio"}
	w.until("the mesh's networks", func() bool {
		o := w.objects[networks]
		return o != nil && o.Spec.(*meshconfig.MeshNetworks).GetNetworks()["far"].GetGateways()[0].GetPort() == 443
	})
	api.Put("v1/configmaps", kubetest.Object{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": kubetest.Object{"name": "istio", "namespace": "istio-system"},
		"data": kubetest.Object{"mesh": "trustDomain: example.org\n"},
	})
	w.until("no networks", func() bool { return w.objects[networks] == nil })
}

func TestSecrets(t *testing.T) {
	api, url := kubetest.New(t)
	api.Put("v1/secrets", kubetest.Object{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": kubetest.Object{"name": "shop-tls", "namespace": "istio-system"},
		"data": kubetest.Object{"tls.crt": "Y2VydA==", "tls.key": "a2V5"},
	})
	w := run(t, url)
	w.until("a Secret", w.has(model.KindSecret, "istio-system", "shop-tls"))
	if _, small := w.objects[model.Key{Kind: model.KindSecret, Namespace: "istio-system", Name: "shop-tls"}].Spec.(*model.Secret); !small {
		t.Error("the whole Secret is kept")
	}
	for _, own := range []string{"istio-ca-secret", "cacerts"} {
		if !strings.Contains(api.Selector("v1/secrets"), "metadata.name!="+own) {
			t.Errorf("the CA's Secret %s is asked for: %s", own, api.Selector("v1/secrets"))
		}
	}
}
