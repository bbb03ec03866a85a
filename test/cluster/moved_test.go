package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// shifted is a namespace that goes from one revision to another.
const (
	shifted         = "shifted"
	defaultRevision = "default"
)

// sampleMoves runs the sample in a namespace of revision default, and has it go to canary as a user does: by the
// namespace's label and a restart. It gives where the page is.
func (w *world) sampleMoves(ctx context.Context) (url string) {
	w.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shifted, Labels: map[string]string{"istio.io/rev": defaultRevision}}}
	if _, err := w.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		w.Fatal(err)
	}
	objects, err := sample(root + "/samples/bookinfo/bookinfo.yaml")
	if err != nil {
		w.Fatal(err)
	}
	for _, o := range objects {
		o.SetNamespace(shifted)
	}
	if err := w.mesh.Apply(ctx, objects); err != nil {
		w.Fatal(err)
	}
	w.sampleIsOf(ctx, defaultRevision)
	w.patch(ctx, `{"metadata":{"labels":{"istio.io/rev":"canary"}}}`, func(data []byte) error {
		_, err := w.client.CoreV1().Namespaces().Patch(ctx, shifted, types.MergePatchType, data, metav1.PatchOptions{})
		return err
	})
	deployments, err := w.client.AppsV1().Deployments(shifted).List(ctx, metav1.ListOptions{})
	if err != nil {
		w.Fatal(err)
	}
	for _, d := range deployments.Items { // as kubectl rollout restart does
		w.patch(ctx, `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now"}}}}}`, func(data []byte) error {
			_, err := w.client.AppsV1().Deployments(shifted).Patch(ctx, d.Name, types.MergePatchType, data, metav1.PatchOptions{})
			return err
		})
	}
	w.sampleIsOf(ctx, "canary")
	service, err := w.client.CoreV1().Services(shifted).Get(ctx, "productpage", metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	url = fmt.Sprintf("http://%s:9080/productpage", service.Spec.ClusterIP)
	w.until(ctx, "the page of "+shifted, func(ctx context.Context) (bool, error) {
		err := page(ctx, url)
		return err == nil, err
	})
	return url
}

func (w *world) patch(ctx context.Context, data string, apply func([]byte) error) {
	w.Helper()
	if err := apply([]byte(data)); err != nil {
		w.Fatal(errors.Join(err, ctx.Err()))
	}
}

// sampleIsOf waits until all pods of the sample are ready and have their sidecars from a revision.
func (w *world) sampleIsOf(ctx context.Context, revision string) {
	w.Helper()
	w.until(ctx, "the sample with sidecars of "+revision, func(ctx context.Context) (bool, error) {
		pods, err := w.client.CoreV1().Pods(shifted).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		for _, p := range pods.Items {
			var status struct{ Revision string }
			if err := json.Unmarshal([]byte(p.Annotations["sidecar.istio.io/status"]), &status); err != nil {
				return false, fmt.Errorf("%s: %w", p.Name, err)
			}
			if status.Revision != revision {
				return false, fmt.Errorf("%s is of revision %q", p.Name, status.Revision)
			}
		}
		return podsReady(ctx, w.client, shifted, 6)
	})
}
