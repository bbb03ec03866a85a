package cluster

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// authorityStays plugs in a CA and takes it away again: the mesh has no other one until an operator says so. It is
// the CA that the mesh has, so that no certificate is made anew.
func (w *world) authorityStays(ctx context.Context) {
	w.Helper()
	const annotation = "security.pilothouse.io/ca-secret"
	core := w.client.CoreV1()
	own, err := core.Secrets("istio-system").Get(ctx, "istio-ca-secret", metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	plugged := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "cacerts"}, Data: own.Data}
	if _, err := core.Secrets("istio-system").Create(ctx, plugged, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	w.until(ctx, "the note of a plugged-in CA", func(ctx context.Context) (bool, error) {
		root, err := core.ConfigMaps("istio-system").Get(ctx, "istio-ca-root-cert", metav1.GetOptions{})
		return err == nil && root.Annotations[annotation] == "cacerts", err
	})
	if err := core.Secrets("istio-system").Delete(ctx, "cacerts", metav1.DeleteOptions{}); err != nil {
		w.Fatal(err)
	}
	w.until(ctx, "word that the CA is gone", func(ctx context.Context) (bool, error) {
		pods, err := core.Pods("istio-system").List(ctx, metav1.ListOptions{LabelSelector: "app=istiod"})
		if err != nil || len(pods.Items) != 1 {
			return false, fmt.Errorf("%d control planes: %w", len(pods.Items), err)
		}
		said, err := core.Pods("istio-system").GetLogs(pods.Items[0].Name, &corev1.PodLogOptions{}).DoRaw(ctx)
		return strings.Contains(string(said), "Secret istio-system/cacerts is gone"), err
	})
	_, err = core.ConfigMaps("istio-system").Patch(ctx, "istio-ca-root-cert", types.MergePatchType,
		fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"istio-ca-secret"}}}`, annotation), metav1.PatchOptions{})
	if err != nil {
		w.Fatal(err)
	}
}
