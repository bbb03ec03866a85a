package operator

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The control plane and what belongs to it is where values.global.istioNamespace says, and is found there.
func TestAnotherNamespace(t *testing.T) {
	p, err := Settings{Set: []string{"values.global.istioNamespace=mesh", "meshConfig.accessLogFile=/dev/stdout"}}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Problems) > 0 || p.Namespace != "mesh" {
		t.Errorf("namespace %q, problems %v", p.Namespace, p.Problems)
	}
	all, err := p.All(false)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		if o.GetNamespace() != "" && o.GetNamespace() != "mesh" {
			t.Errorf("%s %s is in %s", o.GetKind(), o.GetName(), o.GetNamespace())
		}
		text, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "istio-system") {
			t.Errorf("%s %s speaks of istio-system: %s", o.GetKind(), o.GetName(), text)
		}
		if mesh, _, _ := unstructured.NestedString(o.Object, "data", "mesh"); mesh != "" {
			for _, want := range []string{"rootNamespace: mesh", "discoveryAddress: istiod.mesh.svc:15012"} {
				if !strings.Contains(mesh, want) {
					t.Errorf("the mesh configuration has no %q:\n%s", want, mesh)
				}
			}
		}
	}
}
