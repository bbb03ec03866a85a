package install

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
)

// Change is what an installation would do to one object.
type Change struct {
	Action Action
	Object string // KIND/NAMESPACE/NAME
}

// Action is what happens to an object.
type Action string

// The actions.
const (
	Create Action = "create"
	Update Action = "change"
	Delete Action = "delete"
	Keep   Action = "keep"
)

// Preview tells what installing a plan would do, by asking the API server without having it done.
func (c *Cluster) Preview(ctx context.Context, p *operator.Plan) ([]Change, error) {
	objects, err := p.All(true)
	if err != nil {
		return nil, err
	}
	if err := c.deactivated(ctx, p.Revision, objects); err != nil {
		return nil, err
	}
	if err := c.mark(ctx, objects[:len(p.Namespaces())]); err != nil {
		return nil, err
	}
	var out []Change
	planned := map[string]bool{}
	for _, o := range objects {
		planned[nameOf(o)] = true
		action, err := c.action(ctx, o)
		if err != nil {
			return nil, err
		}
		out = append(out, Change{action, nameOf(o)})
	}
	surplus, err := c.surplus(ctx, p, planned)
	for _, o := range surplus {
		out = append(out, Change{Delete, nameOf(o)})
	}
	return out, err
}

// action tells what applying an object does.
func (c *Cluster) action(ctx context.Context, o *unstructured.Unstructured) (Action, error) {
	now, err := c.get(ctx, o)
	if err != nil {
		return "", err
	}
	if now == nil {
		return Create, nil
	}
	if o.GetKind() == definitionKind { // its label of ours is not in the chart
		if err := c.mark(ctx, []*unstructured.Unstructured{o}); err != nil {
			return "", err
		}
	}
	r, err := c.resource(o)
	if err != nil {
		return "", err
	}
	then, err := r.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: manager, Force: true, DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return "", fmt.Errorf("apply %s: %w", nameOf(o), err)
	}
	for _, o := range []*unstructured.Unstructured{now, then} {
		o.SetManagedFields(nil)
		o.SetResourceVersion("")
		o.SetGeneration(0)
	}
	if reflect.DeepEqual(now.Object, then.Object) {
		return Keep, nil
	}
	return Update, nil
}

// ErrClash tells that something is there that another tool made.
var ErrClash = errors.New("the cluster has objects of the same names that another tool made")

// clash looks for objects that another tool made, such as an Istio of the same revision.
func (c *Cluster) clash(ctx context.Context, p *operator.Plan, force bool) error {
	if force {
		return nil
	}
	objects, err := p.All(false)
	if err != nil {
		return err
	}
	var others []string
	for _, o := range objects {
		if o.GetKind() == "Namespace" {
			continue
		}
		now, err := c.get(ctx, o)
		if err != nil {
			return err
		}
		if now != nil && now.GetLabels()[operator.LabelManagedBy] != operator.ManagedBy {
			others = append(others, nameOf(o))
		}
	}
	if len(others) > 0 {
		return fmt.Errorf("%w: %s; install another revision beside them (--revision), or take them over with --force", ErrClash, strings.Join(others, ", "))
	}
	return nil
}

// ErrElsewhere tells that the cluster has a control plane in another namespace. Its proxies would lose it, and two
// have two CAs, each of which writes its root into all namespaces.
var ErrElsewhere = errors.New("the cluster has a control plane in another namespace")

// elsewhere looks for control planes in other namespaces, which no force makes right.
func (c *Cluster) elsewhere(ctx context.Context, namespace string) error {
	objects, err := c.installedObjects(ctx, "app=istiod")
	if err != nil {
		return err
	}
	for _, o := range objects {
		if o.GetKind() == "Deployment" && o.GetNamespace() != namespace {
			return fmt.Errorf("%w: %s; install with --set values.global.istioNamespace=%s, or take it out first with `pilotctl uninstall --purge`",
				ErrElsewhere, nameOf(o), o.GetNamespace())
		}
	}
	return nil
}
