// Package install puts a mesh into a cluster and takes it out again. It applies on the server's side,
// so that fields of others stay, and touches nothing that it did not make.
package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/pilothouse-mesh/pilothouse/deploy/manifests"
)

// Cluster is where a mesh is installed.
type Cluster struct {
	client dynamic.Interface
	mapper meta.ResettableRESTMapper
	say    func(string)
}

// Open reaches a cluster. say is told what is being done.
func Open(config *rest.Config, say func(string)) (*Cluster, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Cluster{client, restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco)), say}, nil
}

// Install applies the definitions, the control plane and, if it is wanted, the gateway, and waits until
// each is ready, or ctx ends.
func (c *Cluster) Install(ctx context.Context, o manifests.Options, gateway bool) error {
	o = o.Complete()
	definitions, err := manifests.Definitions()
	if err != nil {
		return err
	}
	c.say("applying the definitions of Istio's kinds")
	if err := c.mark(ctx, definitions); err != nil {
		return err
	}
	if err := c.Apply(ctx, definitions); err != nil {
		return err
	}
	for _, d := range definitions {
		if err := c.until(ctx, d, "is not established", established); err != nil {
			return err
		}
	}
	c.mapper.Reset()
	c.say("applying the control plane")
	control, err := manifests.ControlPlane(o)
	if err != nil {
		return err
	}
	if err := c.installed(ctx, control); err != nil || !gateway {
		return err
	}
	c.say("applying the ingress gateway")
	edge, err := manifests.Gateway(o)
	if err != nil {
		return err
	}
	return c.installed(ctx, edge)
}

// mark labels the definitions that are not there yet, or that a former installation brought: the others are
// somebody else's, and stay when the mesh goes.
func (c *Cluster) mark(ctx context.Context, definitions []*unstructured.Unstructured) error {
	for _, d := range definitions {
		r, err := c.resource(d)
		if err != nil {
			return err
		}
		now, err := r.Get(ctx, d.GetName(), metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("read %s: %w", nameOf(d), err)
		}
		if err == nil && now.GetLabels()[manifests.LabelManagedBy] != manifests.ManagedBy {
			continue
		}
		labels := d.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[manifests.LabelManagedBy] = manifests.ManagedBy
		d.SetLabels(labels)
	}
	return nil
}

// installed applies objects and waits until Deployments are ready and webhooks know whom to trust.
func (c *Cluster) installed(ctx context.Context, objects []*unstructured.Unstructured) error {
	if err := c.Apply(ctx, objects); err != nil {
		return err
	}
	for _, o := range objects {
		var err error
		switch o.GetKind() {
		case "Deployment":
			c.say("waiting for " + o.GetName())
			err = c.until(ctx, o, "is not ready", available)
		case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
			err = c.until(ctx, o, "has no root of the control plane", trusted)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// manager names us among those who set fields.
const manager = "pilotctl"

// Apply makes the objects, or sets their fields where they are there.
func (c *Cluster) Apply(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		r, err := c.resource(o)
		if err != nil {
			return err
		}
		if _, err := r.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: manager, Force: true}); err != nil {
			return fmt.Errorf("apply %s: %w", nameOf(o), err)
		}
	}
	return nil
}

func (c *Cluster) resource(o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := o.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", nameOf(o), err)
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return c.client.Resource(mapping.Resource), nil
	}
	namespace := o.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return c.client.Resource(mapping.Resource).Namespace(namespace), nil
}

func nameOf(o *unstructured.Unstructured) string {
	if o.GetNamespace() == "" {
		return o.GetKind() + "/" + o.GetName()
	}
	return o.GetKind() + "/" + o.GetNamespace() + "/" + o.GetName()
}

// until waits until an object is as wanted.
func (c *Cluster) until(ctx context.Context, o *unstructured.Unstructured, otherwise string, wanted func(*unstructured.Unstructured) bool) error {
	r, err := c.resource(o)
	if err != nil {
		return err
	}
	var last error
	err = wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		var now *unstructured.Unstructured
		now, last = r.Get(ctx, o.GetName(), metav1.GetOptions{})
		return last == nil && wanted(now), nil
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", nameOf(o), otherwise, errors.Join(err, last))
	}
	return nil
}

func condition(o *unstructured.Unstructured, kind string) bool {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		m, _ := c.(map[string]any)
		return m["type"] == kind && m["status"] == "True"
	})
}

func established(o *unstructured.Unstructured) bool { return condition(o, "Established") }

// available tells whether a Deployment's pods are all new and available.
func available(o *unstructured.Unstructured) bool {
	wanted, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
	updated, _, _ := unstructured.NestedInt64(o.Object, "status", "updatedReplicas")
	ready, _, _ := unstructured.NestedInt64(o.Object, "status", "availableReplicas")
	all, _, _ := unstructured.NestedInt64(o.Object, "status", "replicas")
	seen, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	return seen >= o.GetGeneration() && updated >= wanted && ready >= wanted && all == updated
}

// trusted tells whether the API server knows the root of each of the webhooks.
func trusted(o *unstructured.Unstructured) bool {
	webhooks, _, _ := unstructured.NestedSlice(o.Object, "webhooks")
	return !slices.ContainsFunc(webhooks, func(w any) bool {
		m, _ := w.(map[string]any)
		bundle, _, _ := unstructured.NestedString(m, "clientConfig", "caBundle")
		return bundle == ""
	})
}

// delete removes an object that an installation made; what is not there is none to remove.
func (c *Cluster) delete(ctx context.Context, o *unstructured.Unstructured) error {
	r, err := c.resource(o)
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return err
	}
	background := metav1.DeletePropagationBackground
	err = r.Delete(ctx, o.GetName(), metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s: %w", nameOf(o), err)
	}
	return nil
}

// secrets and leases of a control plane, which it made itself.
var (
	secrets    = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	leases     = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
)
