// Package install puts a mesh into a cluster and takes it out again. It applies on the server's side,
// so that fields of others stay, and touches nothing that it did not make.
package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
	"github.com/pilothouse-mesh/pilothouse/deploy/charts"
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

// Install applies what is planned, waits until each component is ready, or ctx ends, and takes away what a
// former plan of the same name and revision had beside it. Objects of somebody else's are only taken over
// with force.
func (c *Cluster) Install(ctx context.Context, s operator.Settings, force bool) error {
	p, err := s.Plan()
	if err != nil {
		return err
	}
	if err := Refuse(p, force); err != nil {
		return err
	}
	if err := c.clash(ctx, p, force); err != nil {
		return err
	}
	if err := c.elsewhere(ctx, p.Namespace); err != nil {
		return err
	}
	if err := c.base(ctx, p); err != nil {
		return err
	}
	applied := map[string]bool{}
	for _, r := range p.Releases {
		if r.Chart == charts.Base {
			continue
		}
		objects, err := p.Objects(r)
		if err != nil {
			return err
		}
		if err := c.deactivated(ctx, p.Revision, objects); err != nil {
			return err
		}
		c.say("applying " + r.Component)
		if err := c.installed(ctx, objects); err != nil {
			return err
		}
		for _, o := range objects {
			applied[nameOf(o)] = true
		}
	}
	if err := c.record(ctx, p, s); err != nil {
		return err
	}
	return c.prune(ctx, p, applied)
}

// Refuse gives an error where something that was said has no effect.
func Refuse(p *operator.Plan, force bool) error {
	if len(p.Problems) == 0 || force {
		return nil
	}
	lines := []string{"these settings have no effect; with --force the rest is installed:"}
	for _, problem := range p.Problems {
		lines = append(lines, "  "+problem.String())
	}
	return errors.New(strings.Join(lines, "\n"))
}

// base applies the definitions, if they are planned, and the namespaces.
func (c *Cluster) base(ctx context.Context, p *operator.Plan) error {
	shared := p.Namespaces()
	for _, r := range p.Releases {
		if r.Chart != charts.Base {
			continue
		}
		c.say("applying " + r.Component)
		definitions, err := p.Objects(r)
		if err != nil {
			return err
		}
		shared = append(definitions, shared...)
	}
	if err := c.mark(ctx, shared); err != nil {
		return err
	}
	if err := c.Apply(ctx, shared); err != nil {
		return err
	}
	for _, o := range shared {
		if o.GetKind() != definitionKind {
			continue
		}
		if err := c.until(ctx, o, "is not established", established); err != nil {
			return err
		}
	}
	c.mapper.Reset()
	return nil
}

const definitionKind = "CustomResourceDefinition"

// mark labels what all revisions share and is not there yet, or was brought by a former installation: the
// others are somebody else's, and stay when the mesh goes.
func (c *Cluster) mark(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		now, err := c.get(ctx, o)
		if err != nil {
			return err
		}
		if now != nil && now.GetLabels()[operator.LabelManagedBy] != operator.ManagedBy {
			continue
		}
		labels := o.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[operator.LabelManagedBy] = operator.ManagedBy
		o.SetLabels(labels)
	}
	return nil
}

// get reads an object as it is now, nil if it is not there.
func (c *Cluster) get(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	r, err := c.resource(o)
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	now, err := r.Get(ctx, o.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", nameOf(o), err)
	}
	return now, nil
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
			err = c.ready(ctx, o, available, []string{"spec", "replicas"}, []string{"status", "availableReplicas"})
		case "DaemonSet":
			err = c.ready(ctx, o, onAllNodes, []string{"status", "desiredNumberScheduled"}, []string{"status", "numberAvailable"})
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

// onAllNodes tells whether a DaemonSet's pods are all new and available.
func onAllNodes(o *unstructured.Unstructured) bool {
	wanted, _, _ := unstructured.NestedInt64(o.Object, "status", "desiredNumberScheduled")
	updated, _, _ := unstructured.NestedInt64(o.Object, "status", "updatedNumberScheduled")
	ready, _, _ := unstructured.NestedInt64(o.Object, "status", "numberAvailable")
	seen, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	return seen >= o.GetGeneration() && updated >= wanted && ready >= wanted
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

// delete removes an object that an installation made; what is not there is none to remove. A program is there until
// its pods have ended, so that whoever looks for it after an interruption finds it and waits on.
func (c *Cluster) delete(ctx context.Context, o *unstructured.Unstructured) error {
	r, err := c.resource(o)
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return err
	}
	propagation := metav1.DeletePropagationBackground
	if isProgram(o) {
		propagation = metav1.DeletePropagationForeground
	}
	err = r.Delete(ctx, o.GetName(), metav1.DeleteOptions{PropagationPolicy: &propagation})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s: %w", nameOf(o), err)
	}
	return nil
}

// Kinds that a control plane makes itself.
var (
	secrets    = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	leases     = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
)
