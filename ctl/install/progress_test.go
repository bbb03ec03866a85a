package install

import (
	"context"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
)

// TestWhatAnInstallationWaitsForIsSaid ends while an image is missing.
func TestWhatAnInstallationWaitsForIsSaid(t *testing.T) {
	c := cluster(t, "", nil)
	object := func(kind, name string, rest map[string]any) *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: rest}
		o.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: kind})
		if kind == "Deployment" {
			o.SetGroupVersionKind(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: kind})
		}
		o.SetNamespace("istio-system")
		o.SetName(name)
		return o
	}
	selector := map[string]any{"app": "istiod"}
	deployment := object("Deployment", "istiod", map[string]any{
		"spec": map[string]any{"replicas": int64(2), "selector": map[string]any{"matchLabels": selector}}, "status": map[string]any{"availableReplicas": int64(1)},
	})
	pod := object("Pod", "istiod-1", map[string]any{"metadata": map[string]any{"labels": selector}, "status": map[string]any{
		"containerStatuses": []any{map[string]any{"name": "discovery", "state": map[string]any{"waiting": map[string]any{"reason": "ImagePullBackOff", "message": "no such image"}}}},
	}})
	far := object("Pod", "istiod-2", map[string]any{"metadata": map[string]any{"labels": selector}, "status": map[string]any{
		"conditions": []any{map[string]any{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}},
	}})
	other := object("Pod", "other", map[string]any{"status": pod.Object["status"]})
	c.client = fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{pods: "PodList"}, deployment, pod, far, other)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var said []string
	c.say = func(line string) {
		said = append(said, line)
		cancel() // the first look has been
	}
	err := c.ready(ctx, deployment, available, []string{"spec", "replicas"}, []string{"status", "availableReplicas"})
	for _, want := range []string{"container discovery of Pod istiod-1 waits: ImagePullBackOff no such image", "Pod istiod-2 is on no node: 0/1 nodes are available"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "other") {
		t.Errorf("of another's pod: %v", err)
	}
	if len(said) != 1 || said[0] != "istiod: 1 of 2 are ready" {
		t.Errorf("said %q", said)
	}
}
