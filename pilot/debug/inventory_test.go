package debug

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/inventory"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func TestObjectsOfSomeKinds(t *testing.T) {
	o := options()
	o.Snapshot = func() Snapshot { return noServices{} }
	o.Objects = func(context.Context) ([]*model.Object, error) {
		return []*model.Object{
			{Key: model.Key{Kind: model.KindNamespace, Name: "a"}, Spec: &corev1.Namespace{}},
			{Key: model.Key{Kind: model.KindService, Namespace: "a", Name: "b"}, Spec: &corev1.Service{}},
			{Key: model.Key{Kind: model.KindPod, Namespace: "a", Name: "c"}, Spec: &model.Pod{}},
		}, nil
	}
	for query, want := range map[string]int{"": 3, "?kind=Service": 1, "?kind=Service&kind=Pod": 2, "?kind=None": 0} {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+ObjectsPath+query, nil)
		r.RemoteAddr = "127.0.0.1:1"
		w := httptest.NewRecorder()
		New(o).Monitoring().ServeHTTP(w, r)
		got, err := inventory.Read(w.Body)
		if err != nil || len(got.Objects) != want {
			t.Errorf("%s: %v, %+v", query, err, got)
		}
	}
}

func TestFewReadAllObjectsAtATime(t *testing.T) {
	o := options()
	o.Snapshot = func() Snapshot { return noServices{} }
	reading, resume := make(chan struct{}, maxInventories), make(chan struct{})
	o.Objects = func(context.Context) ([]*model.Object, error) {
		reading <- struct{}{}
		<-resume
		return nil, nil
	}
	h := New(o).Monitoring()
	var all sync.WaitGroup
	for range maxInventories {
		all.Go(func() { status(h, ObjectsPath, "127.0.0.1:1") })
	}
	for range maxInventories {
		<-reading
	}
	if got := status(h, ObjectsPath, "127.0.0.1:1"); got != http.StatusServiceUnavailable {
		t.Errorf("one more reader gets %d", got)
	}
	close(resume)
	all.Wait()
	if got := status(h, ObjectsPath, "127.0.0.1:1"); got != http.StatusOK {
		t.Errorf("a later reader gets %d", got)
	}
}

// What cannot be told of the injector is not left out silently.
func TestAHeadThatFailsIsTold(t *testing.T) {
	o := options()
	o.Snapshot = func() Snapshot { return noServices{} }
	if got := status(New(o).Monitoring(), ObjectsPath, "127.0.0.1:1"); got != http.StatusOK {
		t.Errorf("status %d", got)
	}
	o.Head = func(context.Context) (inventory.Head, error) {
		return inventory.Head{}, errors.New("list the webhooks of tags: no")
	}
	if got := status(New(o).Monitoring(), ObjectsPath, "127.0.0.1:1"); got != http.StatusServiceUnavailable {
		t.Errorf("status %d", got)
	}
}
