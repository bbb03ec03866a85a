package kube

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/kubetest"
)

func TestWhatIsNotedOfAnObject(t *testing.T) {
	server, url := kubetest.New(t, routes)
	server.Put(kubetest.Definitions, definition(routesDefinition))
	o := route("r", "a")
	o["metadata"].(kubetest.Object)["uid"] = "u"
	o["metadata"].(kubetest.Object)["generation"] = 3
	o["status"] = kubetest.Object{"conditions": []any{
		kubetest.Object{"type": "Reconciled", "status": "True"},
		kubetest.Object{"type": "Accepted", "status": "False", "reason": "Invalid", "message": "m", "observedGeneration": 2},
	}}
	server.Put(routes, o)
	w := run(t, url)
	key := model.Key{Kind: model.KindVirtualService, Namespace: "shop", Name: "r"}
	w.until("the object", w.has(key.Kind, key.Namespace, key.Name))
	n, ok := w.source.Noted(key)
	if !ok || n.UID != "u" || n.Generation != 3 || n.APIVersion != "networking.istio.io/v1" || n.Condition == nil ||
		n.Condition.Message != "m" || n.Condition.ObservedGeneration != 2 {
		t.Fatalf("%+v, %v", n, ok)
	}
	if marked := w.source.Marked(); len(marked) != 1 || marked[0] != key {
		t.Errorf("marked: %v", marked)
	}
	events := w.events
	changed := w.source.Changed()
	o = route("r", "a")
	o["status"] = kubetest.Object{"conditions": "none"}
	server.Put(routes, o)
	<-changed
	if n, _ := w.source.Noted(key); n.Condition != nil || n.Generation != 0 {
		t.Errorf("%+v", n)
	}
	if w.events != events {
		t.Error("a status changed the mesh")
	}
	server.Remove(routes, o)
	w.until("its end", not(w.has(key.Kind, key.Namespace, key.Name)))
	if _, ok := w.source.Noted(key); ok || len(w.source.Marked()) > 0 {
		t.Error("what is gone is still noted")
	}
}
