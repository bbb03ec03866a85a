package file

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// TestNothingThatIsRefusedComesOut reads an object of each kind that validation refuses, for its name alone, as both
// sources do: translation checks nothing again.
func TestNothingThatIsRefusedComesOut(t *testing.T) {
	texts := map[model.Kind]string{
		model.KindMeshConfig: `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": "trustDomain: -"}}`,
	}
	for kind, of := range kinds.OfIstio() {
		texts[kind] = fmt.Sprintf(`{"apiVersion": "%s/%s", "kind": %q, "metadata": {"name": "-", "namespace": "a"}, "spec": {}}`, of.Group, of.Versions[0], kind)
	}
	for _, kind := range []model.Kind{
		model.KindNamespace, model.KindService, model.KindPod, model.KindSecret, model.KindIngress, model.KindIngressClass, model.KindEndpointSlice,
	} {
		of, known := kinds.KubernetesOf(fmt.Appendf(nil, "%q", kind))
		if !known {
			t.Fatalf("%s is no kind of Kubernetes", kind)
		}
		texts[kind] = fmt.Sprintf(`{"apiVersion": %s, "kind": %q, "metadata": {"name": "-", "namespace": "a"}}`, of.QuotedVersion, kind)
	}
	for kind, text := range texts {
		objects, _, problems := NewReader().JSON([]byte(text))
		if slices.ContainsFunc(objects, func(o *model.Object) bool { return o.Kind == kind }) {
			t.Errorf("%s: %v comes out", kind, objects)
		}
		if len(problems) == 0 || problems[0].Severity != model.SeverityError {
			t.Errorf("%s: %v", kind, problems)
		}
	}
}
