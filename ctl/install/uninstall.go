package install

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
	"github.com/pilothouse-mesh/pilothouse/deploy/charts"
	"github.com/pilothouse-mesh/pilothouse/pilot/incluster"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// made are the kinds of objects that charts make, in the order in which they are taken away: webhooks first,
// so that no pod waits for a control plane that is going, then programs, and then what programs use.
var made = []schema.GroupVersionKind{
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingWebhookConfiguration"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingWebhookConfiguration"},
	{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
	{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
	{Group: "apps", Version: "v1", Kind: "Deployment"},
	{Group: "apps", Version: "v1", Kind: "DaemonSet"},
	{Version: "v1", Kind: "Service"},
	{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
	{Version: "v1", Kind: "ConfigMap"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"},
	{Version: "v1", Kind: "ServiceAccount"},
}

// installedObjects lists what installations made of a revision, in the order of made. selector says which.
func (c *Cluster) installedObjects(ctx context.Context, selector string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for _, gvk := range made {
		mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", gvk.Kind, err)
		}
		list, err := c.client.Resource(mapping.Resource).List(ctx, metav1.ListOptions{LabelSelector: operator.LabelManagedBy + "=" + operator.ManagedBy + "," + selector})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", mapping.Resource.Resource, err)
		}
		for i := range list.Items {
			list.Items[i].SetGroupVersionKind(gvk)
			out = append(out, &list.Items[i])
		}
	}
	return out, nil
}

// Uninstall takes a revision out, with its tags. With purge, and if no other revision is there, it also
// removes what all revisions share: the CA's key, the roots, the namespaces, and the kinds of Istio that an
// installation has brought, with their objects. What was there before stays.
func (c *Cluster) Uninstall(ctx context.Context, revision string, purge bool) error {
	tags, err := c.Tags(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(tags, func(t Tag) bool { return t.Name == defaultTag && t.Revision == revision }) {
		if err := c.activate(ctx, true); err != nil { // before the tag's webhooks go
			return err
		}
	}
	objects, err := c.installedObjects(ctx, operator.LabelRevision+"="+revision)
	if err != nil {
		return err
	}
	if err := c.deleteAll(ctx, objects, ""); err != nil {
		return err
	}
	written := operator.LabelManagedBy + "=" + incluster.ManagedBy
	if err := c.deleteWritten(ctx, leases, written+","+operator.LabelRevision+"="+revision); err != nil {
		return err
	}
	if err := c.clearConditions(ctx, revision); err != nil || !purge {
		return err
	}
	return c.purge(ctx)
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
	now, err := c.get(ctx, o)
	if err != nil || now == nil {
		return false, err
	}
	labels := now.GetLabels()
	return labels[operator.LabelManagedBy] == operator.ManagedBy && labels[operator.LabelRevision] == o.GetLabels()[operator.LabelRevision], nil
}

// purge removes what all revisions share and what the control plane made by itself.
func (c *Cluster) purge(ctx context.Context) error {
	others, err := c.client.Resource(deployments).List(ctx, metav1.ListOptions{LabelSelector: labelControlPlane})
	if err != nil {
		return fmt.Errorf("list control planes: %w", err)
	}
	for _, d := range others.Items {
		if d.GetDeletionTimestamp() == nil {
			c.say("what revisions share stays, since " + nameOf(&d) + " uses it")
			return nil
		}
	}
	shared, err := definitions()
	if err != nil {
		return err
	}
	for _, o := range shared {
		o.SetLabels(nil)
	}
	if err := c.remove(ctx, shared); err != nil {
		return err
	}
	for _, kind := range []schema.GroupVersionResource{leases, secrets, configMaps} {
		if err := c.deleteWritten(ctx, kind, operator.LabelManagedBy+"="+incluster.ManagedBy); err != nil {
			return err
		}
	}
	all, err := c.client.Resource(namespaces).List(ctx, metav1.ListOptions{LabelSelector: operator.LabelManagedBy + "=" + operator.ManagedBy})
	if err != nil {
		return fmt.Errorf("list namespaces: %w", err)
	}
	for i := range all.Items {
		c.say("deleting " + nameOf(&all.Items[i]))
		if err := c.delete(ctx, &all.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

// definitions gives the definitions of Istio's kinds.
func definitions() ([]*unstructured.Unstructured, error) {
	return charts.Release{Chart: charts.Base, Name: charts.Base, Namespace: model.RootNamespace}.Objects()
}

// labelControlPlane selects the Deployments of control planes, Istio's own among them.
const labelControlPlane = "app=istiod"

var deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

// deleteWritten removes what control planes wrote, such as the Secret with the CA's key, and the ConfigMaps with the
// root. What was there before has no such labels, and stays.
func (c *Cluster) deleteWritten(ctx context.Context, kind schema.GroupVersionResource, selector string) error {
	list, err := c.client.Resource(kind).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return fmt.Errorf("list %s: %w", kind.Resource, err)
	}
	for _, o := range list.Items {
		err := c.client.Resource(kind).Namespace(o.GetNamespace()).Delete(ctx, o.GetName(), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s: %w", nameOf(&o), err)
		}
	}
	return nil
}

// prune removes what a former plan of the same name and revision had and this one has not.
func (c *Cluster) prune(ctx context.Context, p *operator.Plan, applied map[string]bool) error {
	objects, err := c.surplus(ctx, p, applied)
	if err != nil {
		return err
	}
	return c.deleteAll(ctx, objects, ", which the settings have no more")
}

// surplus gives what a former plan of the same name and revision had and this one has not.
func (c *Cluster) surplus(ctx context.Context, p *operator.Plan, planned map[string]bool) ([]*unstructured.Unstructured, error) {
	objects, err := c.installedObjects(ctx, operator.LabelRevision+"="+p.Revision+","+operator.LabelOwner+"="+p.Name)
	return slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool {
		return planned[nameOf(o)] || o.GetName() == stateName(p.Name, p.Revision)
	}), err
}
