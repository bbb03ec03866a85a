package kube

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// Noted gives what the API server has of an object of Istio's kinds beside its content; false where there
// is no such object.
func (s *Source) Noted(of model.Key) (model.Noted, bool) {
	k, ours := kinds.OfIstio()[of.Kind]
	if !ours || of.Cluster != "" {
		return model.Noted{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.kinds[schema.GroupResource{Group: k.Group, Resource: kinds.Resource(of.Kind)}]
	if w == nil {
		return model.Noted{}, false
	}
	n, ok := w.noted[of.Namespace+"/"+of.Name]
	return n.Noted, ok
}

// Marked gives the objects whose status has a condition of the type that the options name.
func (s *Source) Marked() []model.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []model.Key
	for _, w := range s.kinds {
		for _, n := range w.noted {
			if n.Condition != nil {
				out = append(out, n.key)
			}
		}
	}
	return out
}

// Changed gives a channel that is closed at the next change of what Noted gives.
func (s *Source) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renoted
}

// noted is what is noted of one object.
type noted struct {
	model.Noted
	key model.Key
}

// note keeps what an object of Istio's kinds has beside its content. The lock is held.
func (w *watched) note(obj metav1.Object) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok || w.source.opts.Condition == "" {
		return
	}
	now := noted{
		key: model.Key{Kind: model.Kind(u.GetKind()), Namespace: u.GetNamespace(), Name: u.GetName()},
		Noted: model.Noted{
			UID: string(u.GetUID()), APIVersion: u.GetAPIVersion(), Generation: u.GetGeneration(),
			Condition: conditionOf(u, w.source.opts.Condition),
		},
	}
	if former, ok := w.noted[key(obj)]; ok && reflect.DeepEqual(former, now) {
		return
	}
	w.noted[key(obj)] = now
	w.source.notice()
}

// forget is the opposite of note. The lock is held.
func (w *watched) forget(name string) {
	if _, ok := w.noted[name]; ok {
		delete(w.noted, name)
		w.source.notice()
	}
}

// notice wakes who waits for a change. The lock is held.
func (s *Source) notice() {
	close(s.renoted)
	s.renoted = make(chan struct{})
}

// conditionOf reads the condition of a type. One that is no condition is an empty one.
func conditionOf(u *unstructured.Unstructured, kind string) *metav1.Condition {
	all, _, _ := unstructured.NestedFieldNoCopy(u.Object, "status", "conditions")
	list, _ := all.([]any)
	for _, c := range list {
		if m, _ := c.(map[string]any); m["type"] == kind {
			out := &metav1.Condition{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m, out); err != nil {
				return &metav1.Condition{Type: kind}
			}
			return out
		}
	}
	return nil
}
