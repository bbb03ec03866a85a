package install

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pilothouse-mesh/pilothouse/pilot/incluster"
)

// clearConditions takes what a revision has said in the status of objects away, since nobody keeps it true any
// longer.
func (c *Cluster) clearConditions(ctx context.Context, revision string) error {
	definitions, err := definitions()
	if err != nil {
		return err
	}
	for _, d := range definitions {
		client := c.client.Resource(served(d))
		list, err := client.List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) { // nobody defined it
			continue
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", d.GetName(), err)
		}
		for _, o := range list.Items {
			patch, err := incluster.WithoutCondition(&o, incluster.ConditionType(revision))
			if err != nil {
				return fmt.Errorf("status of %s: %w", nameOf(&o), err)
			}
			if patch == nil {
				continue
			}
			_, err = client.Namespace(o.GetNamespace()).Patch(ctx, o.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: manager}, "status")
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				return fmt.Errorf("status of %s: %w", nameOf(&o), err)
			}
		}
	}
	return nil
}

// served gives the resource that a definition defines, in a version that is served.
func served(definition *unstructured.Unstructured) schema.GroupVersionResource {
	var out schema.GroupVersionResource
	out.Group, _, _ = unstructured.NestedString(definition.Object, "spec", "group")
	out.Resource, _, _ = unstructured.NestedString(definition.Object, "spec", "names", "plural")
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	for _, v := range versions {
		if m, _ := v.(map[string]any); m["storage"] == true {
			out.Version, _ = m["name"].(string)
		}
	}
	return out
}
