package kube

import (
	"context"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/seen"
	"github.com/pilothouse-mesh/pilothouse/test/kubetest"
)

const routesKind = routesDefinition

// synced runs a source until it has all.
func synced(t *testing.T, url string) *watchedSource {
	t.Helper()
	w := run(t, url)
	w.until("synced", func() bool { return w.synced })
	return w
}

// lacks tells what a source that has no time lacks.
func (w *watchedSource) lacks(to seen.Versions) string {
	ctx, cancel := context.WithCancel(w.Context())
	cancel()
	lacking, _ := w.source.CatchUp(ctx, to)
	return lacking.String()
}

// A source says what it has seen. Another that has not seen it waits, and has it once the wait ends.
func TestASourceCatchesUpWithAnother(t *testing.T) {
	api, url := kubetest.New(t, routes)
	api.Put(kubetest.Definitions, definition(routesDefinition))
	api.Put(routes, route("cart", "cart"))
	held, heldURL := api.Hold(t, routes)
	ahead, behind := synced(t, url), synced(t, heldURL)

	if lacks := behind.lacks(ahead.source.Seen()); lacks != "" {
		t.Fatalf("of what both have listed is lacking %s", lacks)
	}
	api.Put(routes, route("cart", "pay"))
	api.Remove(routes, route("cart", "pay"))
	ahead.until("a deletion", not(ahead.has(model.KindVirtualService, "shop", "cart")))
	to := ahead.source.Seen()
	if lacks := behind.lacks(to); lacks != to.Since(behind.source.Seen()).String() || lacks == "" {
		t.Fatalf("lacking is %q, of %s", lacks, to)
	}
	caught := make(chan seen.Versions, 1)
	go func() {
		lacking, _ := behind.source.CatchUp(t.Context(), to)
		caught <- lacking
	}()
	held.Release()
	select {
	case lacking := <-caught:
		if len(lacking) > 0 {
			t.Errorf("lacking is %s", lacking)
		}
	case <-time.After(time.Minute):
		t.Fatal("never caught up")
	}
	for len(behind.sink.calls) > 0 { // all was delivered before
		(<-behind.sink.calls)(&behind.state)
	}
	if behind.has(model.KindVirtualService, "shop", "cart")() {
		t.Error("the wait ended before the deletion was delivered")
	}
}

// A kind that nobody follows here is no reason to wait, unless its definition may still come.
func TestKindsThatAreNotThereArePassedOver(t *testing.T) {
	api, url := kubetest.New(t, routes)
	w := synced(t, url)
	for to, want := range map[string]string{
		routesKind + "=99": "",
		"widgets=99":       "",
		"customresourcedefinitions.apiextensions.k8s.io=99," + routesKind + "=99": "customresourcedefinitions.apiextensions.k8s.io=99," + routesKind + "=99",
		"services=99":                     "services=99",
		"services=9999999999999999999999": "services=9999999999999999999999",
	} {
		versions, err := seen.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		if lacks := w.lacks(versions); lacks != want {
			t.Errorf("of %s is lacking %q, wanted %q", to, lacks, want)
		}
	}
	api.Put(kubetest.Definitions, definition(routesDefinition))
	api.Put(routes, route("cart", "cart"))
	w.until("an object of the kind", w.has(model.KindVirtualService, "shop", "cart"))
	versions := seen.Of(map[string]string{routesKind: "99"})
	if lacks := w.lacks(versions); lacks == "" {
		t.Error("a kind that came later is passed over")
	}
}

// A bookmark says that a kind has not changed. It is not told, since others get theirs at other times.
func TestABookmarkIsHeededAndNotTold(t *testing.T) {
	api, url := kubetest.New(t)
	w := synced(t, url)
	told := w.source.Seen()
	api.Put("v1/services", service("cart"))
	w.until("a Service", w.has(model.KindService, "shop", "cart"))
	to := seen.Of(map[string]string{"pods": "2"})
	if lacks := w.lacks(to); lacks == "" {
		t.Fatal("pods are known further than they were listed")
	}
	caught := make(chan struct{})
	go func() {
		defer close(caught)
		_, _ = w.source.CatchUp(t.Context(), to)
	}()
	for again := true; again; { // the watch may not have begun
		api.Bookmark("v1/pods", kubetest.Object{"kind": "Pod", "apiVersion": "v1"})
		select {
		case <-caught:
			again = false
		case <-time.After(10 * time.Millisecond):
		}
	}
	if since := w.source.Seen().Since(told).String(); since != "services=2" {
		t.Errorf("told is %q, of %s, before %s", since, w.source.Seen(), told)
	}
}

func TestVersionsThatAreNoNumbersAreLeftAlone(t *testing.T) {
	s, err := New(&rest.Config{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.moved("pods", "5", false)
	s.moved("services", "a5", false)
	if got := s.Seen().String(); got != "pods=5" {
		t.Errorf("seen is %s", got)
	}
	s.moved("pods", "x", false)
	if got := s.Seen(); len(got) > 0 {
		t.Errorf("seen is %s", got)
	}
}
