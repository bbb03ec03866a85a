package install

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pilothouse-mesh/pilothouse/deploy/manifests"
)

// Verify looks whether all objects of an installation are there and ready. It gives how many there have to
// be, and what is wrong with which.
func (c *Cluster) Verify(ctx context.Context, o manifests.Options, gateway bool) (checked int, wrong []string, err error) {
	definitions, err := manifests.Definitions()
	if err != nil {
		return 0, nil, err
	}
	control, err := manifests.ControlPlane(o)
	if err != nil {
		return 0, nil, err
	}
	var edge []*unstructured.Unstructured
	if gateway {
		if edge, err = manifests.Gateway(o); err != nil {
			return 0, nil, err
		}
	}
	for _, obj := range slices.Concat(definitions, control, edge) {
		checked++
		what, err := c.fault(ctx, obj)
		if err != nil {
			return checked, wrong, err
		}
		if what != "" {
			wrong = append(wrong, nameOf(obj)+" "+what)
		}
	}
	return checked, wrong, nil
}

// fault tells what is wrong with an object, "" for nothing.
func (c *Cluster) fault(ctx context.Context, o *unstructured.Unstructured) (string, error) {
	r, err := c.resource(o)
	if err != nil {
		return "", err
	}
	now, err := r.Get(ctx, o.GetName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "is missing", nil
	case err != nil:
		return "", fmt.Errorf("read %s: %w", nameOf(o), err)
	}
	switch o.GetKind() {
	case "CustomResourceDefinition":
		if !established(now) {
			return "is not established", nil
		}
	case "Deployment":
		if !available(now) {
			return "is not ready", nil
		}
	case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
		if !trusted(now) {
			return "has no root of the control plane", nil
		}
	}
	return "", nil
}
