package kube

import (
	"context"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/pilothouse-mesh/pilothouse/pilot/kubeclient"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// watched is one kind of the API server as far as it is known. It is the store of a reflector, which
// keeps of each object only what was made of it.
type watched struct {
	source   *Source
	resource schema.GroupResource
	client   cache.ListerWatcher
	stop     context.CancelFunc
	// read makes the mesh's objects of one of the API server's.
	read func(metav1.Object) ([]*model.Object, []file.Refusal, []model.Problem)

	known    map[string][]*model.Object // by the API server's object
	troubled map[string][]model.Problem
	noted    map[string]noted
	failure  string // what the API server said last, "" after an answer
	ended    bool   // the kind is no more; what is still on its way does not count
}

func newWatched(s *Source, resource schema.GroupResource, read func(metav1.Object) ([]*model.Object, []file.Refusal, []model.Problem)) *watched {
	return &watched{
		source: s, resource: resource, read: read,
		known: map[string][]*model.Object{}, troubled: map[string][]model.Problem{}, noted: map[string]noted{},
	}
}

// Add takes a new object.
func (w *watched) Add(obj any) error { return w.Update(obj) }

// Update takes an object.
func (w *watched) Update(obj any) error {
	w.source.mu.Lock()
	defer w.source.mu.Unlock()
	if !w.ended {
		o := obj.(metav1.Object)
		version := o.GetResourceVersion() // reading keeps nothing of it
		w.source.deliver(w.put(nil, o))
		w.moved(version, false)
	}
	return nil
}

// Delete forgets an object.
func (w *watched) Delete(obj any) error {
	w.source.mu.Lock()
	defer w.source.mu.Unlock()
	w.source.deliver(w.drop(nil, key(obj.(metav1.Object))))
	w.moved(obj.(metav1.Object).GetResourceVersion(), false)
	return nil
}

// Bookmark notes that the kind has not changed up to a version.
func (w *watched) Bookmark(version string) error {
	w.source.mu.Lock()
	defer w.source.mu.Unlock()
	w.moved(version, true)
	return nil
}

// moved notes how far the kind has come. The lock is held.
func (w *watched) moved(version string, bookmark bool) {
	if !w.ended {
		w.source.moved(w.resource.String(), version, bookmark)
	}
}

// Replace takes all objects that there are.
func (w *watched) Replace(list []any, version string) error {
	w.source.mu.Lock()
	defer w.source.mu.Unlock()
	if w.ended {
		return nil
	}
	var events []model.Event
	present := make(map[string]struct{}, len(list))
	for i, obj := range list {
		o := obj.(metav1.Object)
		present[key(o)] = struct{}{}
		events = w.put(events, o)
		list[i] = nil // so that the whole list is not there at once
	}
	for name := range w.known {
		if _, ok := present[name]; !ok {
			events = w.drop(events, name)
		}
	}
	for name := range w.troubled {
		if _, ok := present[name]; !ok {
			delete(w.troubled, name)
		}
	}
	for name := range w.noted {
		if _, ok := present[name]; !ok {
			w.forget(name)
		}
	}
	w.failure = ""
	w.source.deliver(events)
	w.moved(version, false)
	w.source.listed(w.resource)
	return nil
}

// Resync has nothing to do.
func (w *watched) Resync() error { return nil }

// put adds the events that an object makes. What it no longer says rightly stays as it was.
func (w *watched) put(events []model.Event, obj metav1.Object) []model.Event {
	name := key(obj)
	w.note(obj)
	objects, refused, problems := w.read(obj)
	for _, old := range w.known[name] {
		switch {
		case slices.ContainsFunc(objects, func(o *model.Object) bool { return o.Key == old.Key }):
		case slices.ContainsFunc(problems, func(p model.Problem) bool { return p.Object == old.Key && p.Severity == model.SeverityError }):
			objects = append(objects, old)
		default:
			events = append(events, model.Event{Key: old.Key, Old: old})
		}
	}
	objects = deny(objects, refused, problems)
	for i, o := range objects {
		old := find(w.known[name], o.Key)
		if old != nil && model.Same(old, o) {
			objects[i] = old
			continue
		}
		events = append(events, model.Event{Key: o.Key, Old: old, New: o})
	}
	if len(objects) > 0 {
		w.known[name] = objects
	} else {
		delete(w.known, name)
	}
	if len(problems) > 0 {
		w.troubled[name] = problems
	} else {
		delete(w.troubled, name)
	}
	return events
}

// deny adds what denies in the place of objects that were refused and of which no version is in effect.
func deny(objects []*model.Object, refused []file.Refusal, problems []model.Problem) []*model.Object {
	for _, r := range refused {
		if r.Denial == nil || find(objects, r.Key) != nil {
			continue
		}
		objects = append(objects, r.Denial)
		for i := range problems {
			if problems[i].Object == r.Key && problems[i].Severity == model.SeverityError {
				problems[i].Message += r.Consequence()
			}
		}
	}
	return objects
}

func find(objects []*model.Object, key model.Key) *model.Object {
	for _, o := range objects {
		if o.Key == key {
			return o
		}
	}
	return nil
}

func (w *watched) drop(events []model.Event, name string) []model.Event {
	for _, old := range w.known[name] {
		events = append(events, model.Event{Key: old.Key, Old: old})
	}
	delete(w.known, name)
	delete(w.troubled, name)
	w.forget(name)
	return events
}

// gone forgets all objects, when the kind itself is no more. The lock is held.
func (w *watched) gone() {
	var events []model.Event
	for name := range w.known {
		events = w.drop(events, name)
	}
	clear(w.troubled)
	for name := range w.noted {
		w.forget(name)
	}
	w.failure = ""
	w.source.deliver(events)
	w.source.progress.unfollow(w.resource.String())
	w.source.listed(w.resource)
}

// answered notes whether the API server gave what it was asked for. That a kind is not found says that it has no
// objects only where it never had any: its definition says when it goes. Where definitions cannot be read, it is all
// that tells of Istio's kinds. Those of Kubernetes do not go: a proxy before the API server may say so.
func (w *watched) answered(err error) {
	w.source.mu.Lock()
	defer w.source.mu.Unlock()
	if w.ended {
		return
	}
	failure := ""
	switch {
	case err == nil:
	case apierrors.IsNotFound(err) && (len(w.known) == 0 || w.source.undefined && ofIstio(w.resource)):
		w.gone()
		return
	case apierrors.IsResourceExpired(err), apierrors.IsGone(err), kubeclient.Ahead(err): // it is listed again
		return
	case apierrors.IsInvalid(err): // it gives no lists by watches, and is asked for a list
		return
	default:
		failure, _, _ = strings.Cut(err.Error(), "\n")
	}
	if w.failure != failure {
		w.failure = failure
		w.source.deliver(nil)
	}
}

// ofIstio tells whether a resource is one of those that come and go with their definitions.
func ofIstio(resource schema.GroupResource) bool {
	return strings.HasSuffix(resource.Group, ".istio.io")
}

// observe gives the asker to a reflector, and tells answered what became of each question.
func observe(of kubeclient.Asker, answered func(error)) cache.ListerWatcher {
	l := kubeclient.Lasting(of)
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			out, err := l.ListWithContext(ctx, opts)
			if ctx.Err() == nil {
				answered(err)
			}
			return out, err
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			out, err := l.WatchWithContext(ctx, opts)
			if ctx.Err() == nil {
				answered(err)
			}
			return out, err
		},
	}
}
