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

// Uninstall takes a revision out. With purge it also removes what all revisions share and what the
// control plane made by itself: the CA's key, the roots and the namespace. The kinds of Istio stay,
// with their objects.
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
	// Webhooks first, so that no pod waits for a control plane that is going.
	objects := slices.Concat(edge, control)
	slices.Reverse(objects)
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int { return rank(a) - rank(b) })
	for _, obj := range objects {
		if obj.GetKind() == "Namespace" && !purge {
			continue
		}
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
	if purge {
		return c.purge(ctx, o)
	}
	return nil
}

// rank puts webhooks first and the namespace last.
func rank(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
		return 0
	case "Namespace":
		return 2
	}
	return 1
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

// purge removes what the control plane made by itself.
func (c *Cluster) purge(ctx context.Context, o manifests.Options) error {
	own := []struct {
		resource schema.GroupVersionResource
		name     string
	}{{secrets, "istio-ca-secret"}, {leases, "istio-leader" + o.Suffix()}}
	for _, x := range own {
		err := c.client.Resource(x.resource).Namespace(o.Namespace).Delete(ctx, x.name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s of %s: %w", x.name, o.Namespace, err)
		}
	}
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
