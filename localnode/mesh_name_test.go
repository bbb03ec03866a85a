package localnode

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPodsThatBeginAsAName(t *testing.T) {
	var pods []*corev1.Pod
	for _, name := range []string{"productpage-v1", "ratings-v1"} {
		pods = append(pods, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}})
	}
	for name, want := range map[string]string{
		"productpage": "default/productpage-v1", "productpage.default": "default/productpage-v1", "default/rat": "default/ratings-v1", "other": "none",
	} {
		if got := names(beginning(pods, name)); got != want {
			t.Errorf("as %s begin %s, not %s", name, got, want)
		}
	}
}
