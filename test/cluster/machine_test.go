package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

var workloadEntries = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "workloadentries"}

// registeredBy gives the configuration of a proxy that names a WorkloadGroup, as the agent of a machine does.
func registeredBy(group string) string {
	return "proxyMetadata: {ISTIO_META_AUTO_REGISTER_GROUP: " + group + "}"
}

// machineIsRegistered has the WorkloadGroup that a connected proxy names come, and then the proxy go: its
// WorkloadEntry comes and goes with them. A pod stands for the machine, since the mesh sees no difference.
func (w *world) machineIsRegistered(ctx context.Context, namespace, name string) {
	w.Helper()
	check := func(err error) {
		w.Helper()
		if err != nil {
			w.Fatal(err)
		}
	}
	objects, err := dynamic.NewForConfig(w.config)
	check(err)
	entries := objects.Resource(workloadEntries).Namespace(namespace)
	pod, err := w.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	check(err)
	check(w.mesh.Apply(ctx, []*unstructured.Unstructured{{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup", "metadata": map[string]any{"name": name, "namespace": namespace},
		"spec": map[string]any{"template": map[string]any{"ports": map[string]any{"https": int64(8443)}}},
	}}}))
	entry := name + "-" + pod.Status.PodIP
	w.until(ctx, "the WorkloadEntry", func(ctx context.Context) (bool, error) {
		now, err := entries.Get(ctx, entry, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		spec, has := now.Object["spec"].(map[string]any), now.GetAnnotations()
		owners := now.GetOwnerReferences()
		return spec["address"] == pod.Status.PodIP && spec["serviceAccount"] == "default" && len(owners) == 1 && owners[0].Name == name &&
			has["istio.io/autoRegistrationGroup"] == name && has["istio.io/workloadController"] != "" && has["istio.io/connectedAt"] != "", fmt.Errorf("%v", now.Object)
	})
	soon := int64(1)
	check(w.client.CoreV1().Pods(namespace).Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &soon}))
	w.until(ctx, "the WorkloadEntry's end", func(ctx context.Context) (bool, error) {
		now, err := entries.Get(ctx, entry, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, fmt.Errorf("%v, %w", now, err)
	})
}
