package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	w.kubectl(ctx, "", "create", "namespace", shifted)
	w.kubectl(ctx, "", "label", "namespace", shifted, "istio.io/rev="+defaultRevision)
	w.kubectl(ctx, w.sample("bookinfo.yaml"), "apply", "-n", shifted, "-f", "-")
	w.sampleIsOf(ctx, defaultRevision)
	w.kubectl(ctx, "", "label", "--overwrite", "namespace", shifted, "istio.io/rev=canary")
	w.kubectl(ctx, "", "rollout", "restart", "deployment", "-n", shifted)
	w.kubectl(ctx, "", "rollout", "status", "deployment", "-n", shifted, "--timeout="+patience.String())
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
