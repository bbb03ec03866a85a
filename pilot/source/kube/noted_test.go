package kube

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func TestWhatIsNotedOfAnObject(t *testing.T) {
	server, url := newAPIServer(t, routes)
	server.put(definitionsPath, definition(routesDefinition))
	o := route("r", "a")
	o["metadata"].(object)["uid"] = "u"
	o["metadata"].(object)["generation"] = 3
	o["status"] = object{"conditions": []any{
		object{"type": "Reconciled", "status": "True"},
		object{"type": "Accepted", "status": "False", "reason": "Invalid", "message": "m", "observedGeneration": 2},
	}}
	server.put(routes, o)
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
	o["status"] = object{"conditions": "none"}
	server.put(routes, o)
	<-changed
	if n, _ := w.source.Noted(key); n.Condition != nil || n.Generation != 0 {
		t.Errorf("%+v", n)
	}
	if w.events != events {
		t.Error("a status changed the mesh")
	}
	server.remove(routes, o)
	w.until("its end", not(w.has(key.Kind, key.Namespace, key.Name)))
	if _, ok := w.source.Noted(key); ok || len(w.source.Marked()) > 0 {
		t.Error("what is gone is still noted")
	}
}
