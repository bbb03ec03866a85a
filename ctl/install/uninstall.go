package install

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pilothouse-mesh/pilothouse/deploy/manifests"
)

// Uninstall takes a revision out, with its tags. With purge, and if no other revision is there, it also
// removes what all revisions share: the CA's key, the roots, the namespace, and the kinds of Istio that an
// installation has brought, with their objects. Kinds that were there before stay.
func (c *Cluster) Uninstall(ctx context.Context, o manifests.Options, purge bool) error {
	o = o.Complete()
	control, err := manifests.ControlPlane(o)
	if err != nil {
		return err
	}
	edge, err := manifests.Gateway(o)
	if err != nil {
		return err
	}
	tags, err := c.Tags(ctx)
	if err != nil {
		return err
	}
	for _, t := range tags {
		if t.Revision != o.Revision {
			continue
		}
		if err := c.removeTag(ctx, t); err != nil {
			return err
		}
	}
	// Webhooks first, so that no pod waits for a control plane that is going. The namespace is shared.
	objects := slices.DeleteFunc(slices.Concat(edge, control), func(o *unstructured.Unstructured) bool { return o.GetKind() == "Namespace" })
	slices.Reverse(objects)
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int { return rank(a) - rank(b) })
	if err := c.remove(ctx, objects); err != nil {
		return err
	}
	if err := c.clearConditions(ctx, o.Revision); err != nil || !purge {
		return err
	}
	return c.purge(ctx, o, control)
}

// rank puts webhooks first.
func rank(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
		return 0
	}
	return 1
}

// remove deletes objects as far as an installation made them.
func (c *Cluster) remove(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, obj := range objects {
		if ours, err := c.made(ctx, obj); err != nil {
			return err
		} else if !ours {
			continue
		}
		c.say("deleting " + nameOf(obj))
		if err := c.delete(ctx, obj); err != nil {
			return err
		}
	}
	return nil
}

// made tells whether an object is there and is one that an installation of this revision made.
func (c *Cluster) made(ctx context.Context, o *unstructured.Unstructured) (bool, error) {
	r, err := c.resource(o)
	if err != nil {
		return false, err
	}
	now, err := r.Get(ctx, o.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", nameOf(o), err)
	}
	labels := now.GetLabels()
	return labels[manifests.LabelManagedBy] == manifests.ManagedBy && labels[manifests.LabelRevision] == o.GetLabels()[manifests.LabelRevision], nil
}

// purge removes what all revisions share and what the control plane made by itself.
func (c *Cluster) purge(ctx context.Context, o manifests.Options, control []*unstructured.Unstructured) error {
	err := c.client.Resource(leases).Namespace(o.Namespace).Delete(ctx, "istio-leader"+o.Suffix(), metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the lease: %w", err)
	}
	others, err := c.client.Resource(deployments).List(ctx, metav1.ListOptions{LabelSelector: labelControlPlane})
	if err != nil {
		return fmt.Errorf("list control planes: %w", err)
	}
	for _, d := range others.Items {
		if d.GetName() != "istiod"+o.Suffix() || d.GetNamespace() != o.Namespace {
			c.say("what revisions share stays, since " + nameOf(&d) + " uses it")
			return nil
		}
	}
	err = c.client.Resource(secrets).Namespace(o.Namespace).Delete(ctx, "istio-ca-secret", metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete istio-ca-secret of %s: %w", o.Namespace, err)
	}
	definitions, err := manifests.Definitions()
	if err != nil {
		return err
	}
	for _, d := range definitions {
		d.SetLabels(map[string]string{manifests.LabelRevision: ""})
	}
	if err := c.remove(ctx, definitions); err != nil {
		return err
	}
	if err := c.remove(ctx, slices.DeleteFunc(control, func(o *unstructured.Unstructured) bool { return o.GetKind() != "Namespace" })); err != nil {
		return err
	}
	return c.purgeRoots(ctx)
}

// labelControlPlane selects the Deployments of control planes, Istio's own among them.
const labelControlPlane = "app=istiod"

var deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

// purgeRoots removes the ConfigMaps with the root.
func (c *Cluster) purgeRoots(ctx context.Context) error {
	roots, err := c.client.Resource(configMaps).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=istio-ca-root-cert"})
	if err != nil {
		return fmt.Errorf("list the roots: %w", err)
	}
	for _, m := range roots.Items {
		err := c.client.Resource(configMaps).Namespace(m.GetNamespace()).Delete(ctx, m.GetName(), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s: %w", nameOf(&m), err)
		}
	}
	return nil
}
