package kubeclient

import (
	"context"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// Lister lists and watches objects of one kind, as typed clients do.
type Lister[L runtime.Object] interface {
	List(ctx context.Context, opts metav1.ListOptions) (L, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// Object is a pointer to an object of Kubernetes.
type Object interface {
	runtime.Object
	metav1.Object
}

// Cache holds the objects of one type that a client lists, once its informer has been started.
type Cache[O Object] struct{ cache.SharedIndexInformer }

// Follow gives a cache of all objects that a client of the API server lists, or of those with a name.
func Follow[O Object, L runtime.Object](server Interface, client Lister[L], example O, name string) Cache[O] {
	asks := Lasting(named[L]{client, name})
	return Cache[O]{cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(asks, server), example, 0, cache.Indexers{})}
}

// named asks for the objects with a name, for all if it is empty.
type named[L runtime.Object] struct {
	client Lister[L]
	name   string
}

func (n named[L]) selected(opts metav1.ListOptions) metav1.ListOptions {
	if n.name != "" {
		opts.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, n.name).String()
	}
	return opts
}

// List gives them.
func (n named[L]) List(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
	return n.client.List(ctx, n.selected(opts))
}

// Watch gives their changes.
func (n named[L]) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	return n.client.Watch(ctx, n.selected(opts))
}

// All gives the objects, in no order. Nobody may change them.
func (c Cache[O]) All() []O {
	list := c.GetStore().List()
	out := make([]O, len(list))
	for i, o := range list {
		out[i] = o.(O)
	}
	return out
}

// Get gives an object, which nobody may change.
func (c Cache[O]) Get(namespace, name string) (O, bool) {
	found, ok, err := c.GetStore().GetByKey(cache.NewObjectName(namespace, name).String())
	if !ok || err != nil {
		var none O
		return none, false
	}
	return found.(O), true
}

// Wake has each change of what informers hold put a token into wake, which has room for one: a token that is there
// already stands for this change as well. It is called before Run.
func Wake(wake chan<- struct{}, informers ...cache.SharedIndexInformer) error {
	changed := func(any) {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: changed, DeleteFunc: changed, UpdateFunc: func(_, now any) { changed(now) }}
	for _, informer := range informers {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	return nil
}

// Run fills caches, and keeps them up to date until ctx ends. It returns when all have been filled, and the
// function that it gives when nothing of them runs any more.
func Run(ctx context.Context, informers ...cache.SharedIndexInformer) (wait func()) {
	var running sync.WaitGroup
	synced := make([]cache.InformerSynced, 0, len(informers))
	for _, i := range informers {
		running.Go(func() { i.RunWithContext(ctx) })
		synced = append(synced, i.HasSynced)
	}
	cache.WaitForCacheSync(ctx.Done(), synced...)
	return running.Wait
}
