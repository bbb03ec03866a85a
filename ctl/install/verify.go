package install

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
)

// Verify looks whether all objects of a plan are there and ready. It gives how many there have to be, and
// what is wrong with which.
func (c *Cluster) Verify(ctx context.Context, p *operator.Plan) (checked int, wrong []string, err error) {
	objects, err := p.All(true)
	if err != nil {
		return 0, nil, err
	}
	for _, obj := range objects {
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
	now, err := c.get(ctx, o)
	if err != nil {
		return "", err
	}
	if now == nil {
		return "is missing", nil
	}
	switch o.GetKind() {
	case definitionKind:
		if !established(now) {
			return "is not established", nil
		}
	case "Deployment":
		if !available(now) {
			return "is not ready", nil
		}
	case "DaemonSet":
		if !onAllNodes(now) {
			return "is not ready", nil
		}
	case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
		if !trusted(now) {
			return "has no root of the control plane", nil
		}
	}
	return "", nil
}
