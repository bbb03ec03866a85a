package install

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// defaultTag is the name of the revision that injects where none is named, and of the tag that can stand for
// another one in its place.
const defaultTag = "default"

// Istio's label for webhooks that shall choose nothing: no namespace has it.
const (
	labelDeactivated = "istio.io/deactivated"
	neverMatches     = "never-match"
)

// activate has the webhooks of revision default choose pods, or nothing while tag default stands for another
// revision. Without a revision default there is nothing to do.
func (c *Cluster) activate(ctx context.Context, on bool) error {
	name := injector(defaultTag)
	own, err := c.client.Resource(mutating).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read MutatingWebhookConfiguration %s: %w", name, err)
	}
	if err := choose(own, on); err != nil {
		return err
	}
	if _, err = c.client.Resource(mutating).Update(ctx, own, metav1.UpdateOptions{FieldManager: manager}); err != nil {
		return fmt.Errorf("write MutatingWebhookConfiguration %s: %w", name, err)
	}
	return nil
}

// choose edits the webhooks of a configuration so that they choose pods, or nothing.
func choose(o *unstructured.Unstructured, on bool) error {
	webhooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
	if err != nil {
		return fmt.Errorf("%s: %w", nameOf(o), err)
	}
	for _, w := range webhooks {
		m, _ := w.(map[string]any)
		if on {
			unstructured.RemoveNestedField(m, "namespaceSelector", "matchLabels", labelDeactivated)
			continue
		}
		if err := unstructured.SetNestedField(m, neverMatches, "namespaceSelector", "matchLabels", labelDeactivated); err != nil {
			return fmt.Errorf("%s: %w", nameOf(o), err)
		}
	}
	return unstructured.SetNestedSlice(o.Object, webhooks, "webhooks")
}

// deactivated has revision default's webhooks stay as tag default wants them when the revision is installed
// once more.
func (c *Cluster) deactivated(ctx context.Context, revision string, objects []*unstructured.Unstructured) error {
	at := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool {
		return o.GetKind() == "MutatingWebhookConfiguration" && o.GetName() == injector(defaultTag)
	})
	if revision != defaultTag || at < 0 {
		return nil
	}
	tags, err := c.Tags(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(tags, func(t Tag) bool { return t.Name == defaultTag && t.Revision != revision }) {
		return nil
	}
	return choose(objects[at], false)
}
