package incluster

import (
	"context"
	"encoding/json"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// statusManager names us among those who set fields of a status.
const statusManager = "pilothouse-status"

// present gives an object as it is now, nil if it is gone.
func present(ctx context.Context, client dynamic.ResourceInterface, name string) (*unstructured.Unstructured, error) {
	now, err := client.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return now, err
}

// isOfType gives a function that tells whether an entry of a status is the condition of a type.
func isOfType(kind string) func(any) bool {
	return func(c any) bool {
		m, _ := c.(map[string]any)
		return m["type"] == kind
	}
}

// conditionOf gives an object's condition of a type, nil for none.
func conditionOf(o *unstructured.Unstructured, kind string) map[string]any {
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	if at := slices.IndexFunc(all, isOfType(kind)); at >= 0 {
		return all[at].(map[string]any)
	}
	return nil
}

// writeCondition puts a condition in the place of an object's condition of a type, or takes that away if it is nil.
// Somebody else who was faster is an error; done is false where the object is gone.
func writeCondition(ctx context.Context, client dynamic.ResourceInterface, now *unstructured.Unstructured, kind string, condition map[string]any) (done bool, err error) {
	patch, err := conditionPatch(now, kind, condition)
	if err != nil {
		return false, err
	}
	_, err = client.Patch(ctx, now.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: statusManager}, "status")
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// conditionPatch gives the merge patch of a status for writeCondition. Conditions of others stay.
func conditionPatch(now *unstructured.Unstructured, kind string, condition map[string]any) ([]byte, error) {
	status, _, _ := unstructured.NestedMap(now.Object, "status")
	all, _ := status["conditions"].([]any)
	all = slices.DeleteFunc(all, isOfType(kind))
	if condition != nil {
		all = append(all, condition)
	}
	delete(status, "conditions")
	next := map[string]any{"conditions": all}
	patch := map[string]any{"metadata": map[string]any{"resourceVersion": now.GetResourceVersion()}, "status": next}
	switch {
	case len(all) > 0:
	case len(status) > 0:
		next["conditions"] = nil
	default:
		patch["status"] = nil
	}
	return json.Marshal(patch)
}

// WithoutCondition gives the merge patch of a status that takes the condition of a type away, nil where it
// has none.
func WithoutCondition(o *unstructured.Unstructured, kind string) ([]byte, error) {
	if conditionOf(o, kind) == nil {
		return nil, nil
	}
	return conditionPatch(o, kind, nil)
}
