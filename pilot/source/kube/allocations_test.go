package kube

import (
	"slices"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// notedPod is a pod as an API server gives it after a controller has noted something in its status.
func notedPod(i int) *corev1.Pod {
	controls := true
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web-6b7c-x1", Namespace: "shop", ResourceVersion: strconv.Itoa(i + 1), UID: "0f3c",
			Labels:          map[string]string{"app": "web", "version": "v1", "pod-template-hash": "6b7c", "security.istio.io/tlsMode": "istio"},
			Annotations:     map[string]string{"note.example.org/at": strconv.Itoa(i), "sidecar.istio.io/status": "{}"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-6b7c", Controller: &controls}},
		},
		Spec: corev1.PodSpec{
			NodeName: "node-1", ServiceAccountName: "web",
			Containers: []corev1.Container{{Name: "web", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.0.0.1", Message: strconv.Itoa(i),
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
}

// quiet is a sink that is told of nothing.
type quiet struct{}

func (quiet) Apply(string, []model.Event, []model.Problem) {}
func (quiet) Synced(string)                                {}

// TestWhatControllersNoteOfPodsAllocatesLittle: it concerns no proxy, and comes a hundred times a second.
func TestWhatControllersNoteOfPodsAllocatesLittle(t *testing.T) {
	s, err := New(&rest.Config{Host: "http://api.example.org"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.sink = quiet{}
	all := s.kubernetesKinds()
	w := all[slices.IndexFunc(all, func(w *watched) bool { return w.resource.Resource == "pods" })]
	const runs = 50
	pods := make([]*corev1.Pod, runs+1)
	for i := range pods {
		pods[i] = notedPod(i)
	}
	if n := testing.AllocsPerRun(runs, func() {
		if err := w.Update(pods[0]); err != nil {
			t.Fatal(err)
		}
		pods = pods[1:]
	}); n > 20 {
		t.Errorf("a pod of which somebody noted something takes %v allocations; it was 14, and 46 before", n)
	}
}
