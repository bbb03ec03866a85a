package localnode

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/network"
	"github.com/pilothouse-mesh/pilothouse/localnode/state"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// A Namespace of which the directories have no object asks for sidecars, as the tools that read files take it.
func TestNamespacesWithoutAnObjectAskForSidecars(t *testing.T) {
	w := newWorld(state.Dir{}, nil)
	w.Apply("test", []model.Event{
		{Key: model.Key{Kind: model.KindPod, Namespace: "shop", Name: "web"}, New: &model.Object{
			Key:  model.Key{Kind: model.KindPod, Namespace: "shop", Name: "web"},
			Spec: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}},
		}},
	}, nil)
	got := map[string]bool{}
	for _, ns := range defaultsFor(w, network.NewPlan(70), "").namespaces {
		got[ns.Name] = ns.Labels[model.LabelInjection] == "enabled"
	}
	for _, name := range []string{"shop", "default", model.RootNamespace} {
		if !got[name] {
			t.Errorf("Namespace %s does not ask for sidecars, or is not there: %v", name, got)
		}
	}
}
