package kube

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
)

// definitionsResource has the definitions of kinds that an API server was taught.
var definitionsResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// definitionsKind is the name of their kind.
const definitionsKind = "customresourcedefinitions.apiextensions.k8s.io"

// definitions starts and ends the watches of Istio's kinds as their definitions come and go. It is
// the store of a reflector.
type definitions struct {
	*Source
	ctx context.Context // of the watches
}

// followDefinitions watches until ctx ends.
func (s *Source) followDefinitions(ctx context.Context) {
	d := &definitions{s, ctx}
	client := observe(described{s.meta.Resource(definitionsResource)}, d.answered)
	s.reflect(ctx, definitionsResource.Resource, client, d)
}

// described asks for the metadata of objects only.
type described struct{ metadata.ResourceInterface }

func (m described) List(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
	return m.ResourceInterface.List(ctx, opts)
}

func (m described) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	return m.ResourceInterface.Watch(ctx, opts)
}

// answered notes an API server that does not let definitions be read: then all kinds are tried.
func (d *definitions) answered(err error) {
	if !apierrors.IsForbidden(err) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started {
		return
	}
	d.log.Warn("definitions of kinds may not be read; a kind that is added later is found late", "error", err)
	d.undefined = true
	for resource := range d.istio {
		d.define(resource)
	}
	d.known()
}

// Add takes a definition.
func (d *definitions) Add(obj any) error { return d.Update(obj) }

// Update takes a definition.
func (d *definitions) Update(obj any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.define(defined(obj))
	d.moved(obj.(metav1.Object).GetResourceVersion(), false)
	return nil
}

// Bookmark notes that no definition has changed up to a version.
func (d *definitions) Bookmark(version string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.moved(version, true)
	return nil
}

// moved notes how far definitions have come. The lock is held.
func (d *definitions) moved(version string, bookmark bool) {
	d.Source.moved(definitionsKind, version, bookmark)
}

// Delete ends the watch of the kind.
func (d *definitions) Delete(obj any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.undefine(defined(obj))
	d.moved(obj.(metav1.Object).GetResourceVersion(), false)
	return nil
}

// Replace takes all definitions that there are.
func (d *definitions) Replace(list []any, version string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	present := map[schema.GroupResource]bool{}
	for _, obj := range list {
		present[defined(obj)] = true
		d.define(defined(obj))
	}
	for resource := range d.istio {
		if !present[resource] {
			d.undefine(resource)
		}
	}
	d.undefined = false
	d.moved(version, false)
	d.known()
	return nil
}

// known notes that it is known which kinds there are. The lock is held.
func (d *definitions) known() {
	if !d.started {
		d.started = true
		d.listed(schema.GroupResource{})
	}
}

// Resync has nothing to do.
func (d *definitions) Resync() error { return nil }

// defined gives the kind of a definition, which is named RESOURCE.GROUP.
func defined(obj any) schema.GroupResource {
	resource, group, _ := strings.Cut(obj.(metav1.Object).GetName(), ".")
	return schema.GroupResource{Group: group, Resource: resource}
}

func (d *definitions) define(resource schema.GroupResource) {
	k, ours := d.istio[resource]
	if !ours || d.kinds[resource] != nil {
		return
	}
	d.follow(d.ctx, d.istioKind(resource, k))
}

func (d *definitions) undefine(resource schema.GroupResource) {
	w := d.kinds[resource]
	if _, ours := d.istio[resource]; !ours || w == nil {
		return
	}
	w.stop()
	w.gone()
	w.ended = true
	delete(d.kinds, resource)
}
