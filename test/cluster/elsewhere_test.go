package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

// elsewhere installs the mesh in another namespace than Istio's, has a page through its gateway, and takes it out
// again, by the command line.
func (w *world) elsewhere(ctx context.Context) {
	w.Helper()
	const namespace = "mesh"
	run := func(args ...string) string { return w.run(ctx, args...) }
	run("install", "-y", "--set", "values.global.istioNamespace="+namespace)
	objects, err := sample(root + "/samples/bookinfo/bookinfo.yaml")
	if err != nil {
		w.Fatal(err)
	}
	objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return !strings.Contains(o.GetName(), "details") })
	parts := len(objects)
	objects = append(objects,
		&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": map[string]any{"name": "details", "namespace": "default"},
			"spec": map[string]any{"selector": map[string]any{"istio": "ingressgateway"}, "servers": []any{map[string]any{
				"port": map[string]any{"number": int64(8080), "name": "http", "protocol": "HTTP"}, "hosts": []any{"*"},
			}}},
		}},
		virtualService("details", map[string]any{
			"hosts": []any{"*"}, "gateways": []any{"details"},
			"http": []any{map[string]any{"route": []any{map[string]any{"destination": map[string]any{"host": "details"}}}}},
		}),
	)
	if err := w.mesh.Apply(ctx, objects); err != nil {
		w.Fatal(err)
	}
	gateway, err := w.client.CoreV1().Services(namespace).Get(ctx, "istio-ingressgateway", metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	w.until(ctx, "the page of details", func(ctx context.Context) (bool, error) {
		body, err := fetch(ctx, "http://"+gateway.Spec.ClusterIP+"/details/0")
		return err == nil, fmt.Errorf("%w: %.200s", err, body)
	})
	if all := run("proxy-status", "-i", namespace); !strings.Contains(all, "details-v1-") || !strings.Contains(all, "istio-ingressgateway-") {
		w.Errorf("proxy-status:\n%s", all)
	}
	if verified := run("verify-install", "-i", namespace); !strings.Contains(verified, "are there and ready") {
		w.Errorf("verify-install: %s", verified)
	}
	w.nothingWasDenied()
	run("uninstall", "--purge", "-y")
	client, err := dynamic.NewForConfig(w.config)
	if err != nil {
		w.Fatal(err)
	}
	for _, o := range objects[:parts] {
		gvk := o.GroupVersionKind()
		gvr := gvk.GroupVersion().WithResource(strings.ToLower(gvk.Kind) + "s")
		if err := client.Resource(gvr).Namespace("default").Delete(ctx, o.GetName(), metav1.DeleteOptions{}); err != nil {
			w.Error(err)
		}
	}
}
