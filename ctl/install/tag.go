package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
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
func (c *Cluster) TagObjects(ctx context.Context, revision, tag string) ([]*unstructured.Unstructured, error) {
	if wrong := validation.IsDNS1123Label(tag); wrong != nil {
		return nil, fmt.Errorf("tag %q: %s", tag, strings.Join(wrong, "; "))
	}
	own, err := c.client.Resource(mutating).Get(ctx, injector(revision), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("revision %s is not installed: there is no MutatingWebhookConfiguration %s", revision, injector(revision))
	}
	if err != nil {
		return nil, fmt.Errorf("read MutatingWebhookConfiguration %s: %w", injector(revision), err)
	}
	if !trusted(own) {
		return nil, fmt.Errorf("revision %s is not ready: its webhooks have no root of the control plane yet", revision)
	}
	webhooks, _, _ := unstructured.NestedSlice(own.Object, "webhooks")
	first, _ := webhooks[0].(map[string]any)
	bundle, _, _ := unstructured.NestedString(first, "clientConfig", "caBundle")
	namespace, _, _ := unstructured.NestedString(first, "clientConfig", "service", "namespace")
	return operator.Tag(cmp.Or(namespace, model.RootNamespace), revision, tag, bundle) // webhooks of another cluster's have an address
}

// injector is the name of a revision's own injection webhooks.
func injector(revision string) string { return "istio-sidecar-injector" + operator.Suffix(revision) }

// SetTag has a tag choose a revision. One of another revision is changed only with overwrite. Of two webhooks
// that choose the same pods none may be first, so a tag cannot be called as an installed revision is. But tag
// default takes over from revision default, whose own webhooks choose nothing meanwhile.
func (c *Cluster) SetTag(ctx context.Context, revision, tag string, overwrite bool) error {
	objects, err := c.TagObjects(ctx, revision, tag)
	if err != nil {
		return err
	}
	_, err = c.client.Resource(mutating).Get(ctx, injector(tag), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return fmt.Errorf("read MutatingWebhookConfiguration %s: %w", injector(tag), err)
	case tag == defaultTag && revision == defaultTag:
		return errors.New("tag default: revision default injects what is labelled so by itself; remove the tag if there is one")
	case tag != defaultTag:
		return fmt.Errorf("tag %s: a revision of that name is installed, which injects what is labelled so; uninstall it first, or choose another name", tag)
	}
	tags, err := c.Tags(ctx)
	if err != nil {
		return err
	}
	for _, t := range tags {
		if t.Name == tag && t.Revision != revision && !overwrite {
			return fmt.Errorf("%w: %s is revision %s; change it with --overwrite", ErrTagExists, tag, t.Revision)
		}
	}
	if err := c.Apply(ctx, objects); err != nil || tag != defaultTag {
		return err
	}
	// Last, so that every pod is chosen by one of them; one that both choose has the later one's sidecar.
	return c.activate(ctx, false)
}

// Tags gives the tags, sorted, with the namespaces that are labelled with each. Those of Istio's are among
// them.
func (c *Cluster) Tags(ctx context.Context) ([]Tag, error) {
	list, err := c.client.Resource(mutating).List(ctx, metav1.ListOptions{LabelSelector: operator.LabelTag})
	if err != nil {
		return nil, fmt.Errorf("list tags: %w", err)
	}
	all, err := c.client.Resource(namespaces).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	var out []Tag
	for _, w := range list.Items {
		t := Tag{Name: w.GetLabels()[operator.LabelTag], Revision: w.GetLabels()[operator.LabelRevision]}
		for _, n := range all.Items {
			_, injection := n.GetLabels()["istio-injection"]
			switch {
			case !injection && n.GetLabels()[operator.LabelRevision] == t.Name,
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
	webhook.SetName("istio-revision-tag-" + tag)
	webhook.SetLabels(map[string]string{operator.LabelRevision: tags[at].Revision})
	if ours, err := c.made(ctx, webhook); err != nil {
		return err
	} else if !ours {
		return fmt.Errorf("tag %s was made by another tool, which has to remove it", tag)
	}
	return c.removeTag(ctx, tags[at])
}

// removeTag deletes a tag's objects, its webhooks first, as far as an installation made them. Where it was tag
// default, revision default chooses again before that.
func (c *Cluster) removeTag(ctx context.Context, t Tag) error {
	objects, err := operator.Tag(model.RootNamespace, t.Revision, t.Name, "")
	if err != nil {
		return err
	}
	if t.Name == defaultTag {
		if err := c.activate(ctx, true); err != nil {
			return err
		}
	}
	slices.Reverse(objects)
	return c.remove(ctx, objects)
}
