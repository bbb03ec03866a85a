package install

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/deploy/manifests"
)

var (
	mutating   = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// Tag is a name by which namespaces and pods choose a revision.
type Tag struct {
	Name       string   `json:"tag"`
	Revision   string   `json:"revision"`
	Namespaces []string `json:"namespaces"` // that are labelled with it
}

// ErrTagExists tells that a tag is of another revision.
var ErrTagExists = errors.New("the tag exists")

// TagObjects gives the objects that make a tag of a revision, which has to be installed.
func (c *Cluster) TagObjects(ctx context.Context, o manifests.Options, tag string) ([]*unstructured.Unstructured, error) {
	o = o.Complete()
	if wrong := validation.IsDNS1123Label(tag); wrong != nil {
		return nil, fmt.Errorf("tag %q: %s", tag, strings.Join(wrong, "; "))
	}
	injector := "istio-sidecar-injector" + o.Suffix()
	own, err := c.client.Resource(mutating).Get(ctx, injector, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("revision %s is not installed: there is no MutatingWebhookConfiguration %s", o.Revision, injector)
	}
	if err != nil {
		return nil, fmt.Errorf("read MutatingWebhookConfiguration %s: %w", injector, err)
	}
	if !trusted(own) {
		return nil, fmt.Errorf("revision %s is not ready: its webhooks have no root of the control plane yet", o.Revision)
	}
	webhooks, _, _ := unstructured.NestedSlice(own.Object, "webhooks")
	first, _ := webhooks[0].(map[string]any)
	text, _, _ := unstructured.NestedString(first, "clientConfig", "caBundle")
	bundle, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("MutatingWebhookConfiguration %s: caBundle: %w", injector, err)
	}
	return manifests.Tag(o, tag, bundle)
}

// SetTag has a tag choose a revision. One of another revision is changed only with overwrite. Of two webhooks
// that choose the same pods none may be first, so a tag cannot be called as an installed revision is.
func (c *Cluster) SetTag(ctx context.Context, o manifests.Options, tag string, overwrite bool) error {
	o = o.Complete()
	objects, err := c.TagObjects(ctx, o, tag)
	if err != nil {
		return err
	}
	named := manifests.Options{Revision: tag}
	_, err = c.client.Resource(mutating).Get(ctx, "istio-sidecar-injector"+named.Suffix(), metav1.GetOptions{})
	switch {
	case err == nil:
		return fmt.Errorf("tag %s: a revision of that name is installed, which injects what is labelled so; uninstall it first, or choose another name", tag)
	case !apierrors.IsNotFound(err):
		return err
	}
	tags, err := c.Tags(ctx)
	if err != nil {
		return err
	}
	for _, t := range tags {
		if t.Name == tag && t.Revision != o.Revision && !overwrite {
			return fmt.Errorf("%w: %s is revision %s; change it with --overwrite", ErrTagExists, tag, t.Revision)
		}
	}
	return c.Apply(ctx, objects)
}

// Tags gives the tags, sorted, with the namespaces that are labelled with each. Those of Istio's are among
// them.
func (c *Cluster) Tags(ctx context.Context) ([]Tag, error) {
	list, err := c.client.Resource(mutating).List(ctx, metav1.ListOptions{LabelSelector: manifests.LabelTag})
	if err != nil {
		return nil, fmt.Errorf("list tags: %w", err)
	}
	all, err := c.client.Resource(namespaces).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	var out []Tag
	for _, w := range list.Items {
		t := Tag{Name: w.GetLabels()[manifests.LabelTag], Revision: w.GetLabels()[manifests.LabelRevision]}
		for _, n := range all.Items {
			_, injection := n.GetLabels()["istio-injection"]
			switch {
			case !injection && n.GetLabels()[manifests.LabelRevision] == t.Name,
				t.Name == "default" && n.GetLabels()["istio-injection"] == "enabled":
				t.Namespaces = append(t.Namespaces, n.GetName())
			}
		}
		slices.Sort(t.Namespaces)
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b Tag) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// RemoveTag takes a tag away.
func (c *Cluster) RemoveTag(ctx context.Context, tag string) error {
	tags, err := c.Tags(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(tags, func(t Tag) bool { return t.Name == tag })
	if at < 0 {
		return fmt.Errorf("there is no tag %s", tag)
	}
	webhook := &unstructured.Unstructured{}
	webhook.SetGroupVersionKind(mutating.GroupVersion().WithKind("MutatingWebhookConfiguration"))
	webhook.SetName(manifests.TagWebhook(tag))
	webhook.SetLabels(map[string]string{manifests.LabelRevision: tags[at].Revision})
	if ours, err := c.made(ctx, webhook); err != nil {
		return err
	} else if !ours {
		return fmt.Errorf("tag %s was made by another tool, which has to remove it", tag)
	}
	return c.removeTag(ctx, tags[at])
}

// removeTag deletes a tag's objects, its webhooks first, as far as an installation made them.
func (c *Cluster) removeTag(ctx context.Context, t Tag) error {
	objects, err := manifests.Tag(manifests.Options{Revision: t.Revision}, t.Name, nil)
	if err != nil {
		return err
	}
	slices.Reverse(objects)
	return c.remove(ctx, objects)
}
