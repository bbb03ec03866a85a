package install

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
)

// TestAllThatIsMadeIsFoundAgain holds what uninstalling looks for against what charts make.
func TestAllThatIsMadeIsFoundAgain(t *testing.T) {
	set := []string{
		"values.global.networkPolicy.enabled=true", "values.autoscaleMin=2", "values.revisionTags={prod}",
		"components.egressGateways[0].enabled=true", "values.gateways.istio-egressgateway.kind=DaemonSet",
		"values.gateways.istio-ingressgateway.podDisruptionBudget.minAvailable=1",
	}
	p, err := operator.Settings{Set: set}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Problems) > 0 {
		t.Fatal(p.Problems)
	}
	objects, err := p.All(false)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []schema.GroupVersionKind
	for _, o := range objects {
		if o.GetKind() == "Namespace" {
			continue
		}
		kinds = append(kinds, o.GroupVersionKind())
		if !slices.Contains(made, o.GroupVersionKind()) {
			t.Errorf("%s is not looked for", nameOf(o))
		}
		labels := o.GetLabels()
		if labels[operator.LabelManagedBy] != operator.ManagedBy || labels[operator.LabelRevision] != "default" {
			t.Errorf("%s would not be found: labels %v", nameOf(o), labels)
		}
	}
	for _, k := range made {
		if !slices.Contains(kinds, k) {
			t.Errorf("%s is looked for, and nothing makes one", k)
		}
	}
}

func TestWebhooksThatChooseNothing(t *testing.T) {
	objects, err := operator.Tag("istio-system", "default", "x", "")
	if err != nil {
		t.Fatal(err)
	}
	o := objects[slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "MutatingWebhookConfiguration" })]
	before := o.DeepCopy()
	if err := choose(o, false); err != nil {
		t.Fatal(err)
	}
	webhooks, _, _ := unstructured.NestedSlice(o.Object, "webhooks")
	for _, w := range webhooks {
		if v, _, _ := unstructured.NestedString(w.(map[string]any), "namespaceSelector", "matchLabels", labelDeactivated); v != neverMatches {
			t.Errorf("a webhook chooses still: %v", w)
		}
		if e, _, _ := unstructured.NestedSlice(w.(map[string]any), "namespaceSelector", "matchExpressions"); len(e) == 0 {
			t.Errorf("what a webhook chose is forgotten: %v", w)
		}
	}
	if err := choose(o, true); err != nil {
		t.Fatal(err)
	}
	for _, w := range append(webhooksOf(o), webhooksOf(before)...) {
		unstructured.RemoveNestedField(w.(map[string]any), "namespaceSelector", "matchLabels")
	}
	if len(webhooksOf(o)) != len(webhooksOf(before)) {
		t.Error("webhooks are lost")
	}
}

func webhooksOf(o *unstructured.Unstructured) []any {
	w, _, _ := unstructured.NestedSlice(o.Object, "webhooks")
	return w
}

func TestTheTagOfAnImage(t *testing.T) {
	for image, want := range map[string]string{"pilot:1.2": "1.2", "host:5000/pilot": "", "host:5000/a/pilot:x": "x", "pilot:1@sha256:00": "1", "": ""} {
		o := &unstructured.Unstructured{Object: map[string]any{}}
		if err := unstructured.SetNestedSlice(o.Object, []any{map[string]any{"image": image}}, "spec", "template", "spec", "containers"); err != nil {
			t.Fatal(err)
		}
		if got := imageTag(o); got != want {
			t.Errorf("%q: tag %q, want %q", image, got, want)
		}
	}
}
