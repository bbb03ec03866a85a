package validate_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// A name is what the API server of Kubernetes takes for one.
func TestNames(t *testing.T) {
	letters, r := "aabz09-.AZ_", rand.New(rand.NewPCG(1, 2))
	valid := map[model.Kind]func(string) []string{
		model.KindService: func(name string) []string { return validation.IsDNS1035Label(name) }, model.KindPod: validation.IsDNS1123Subdomain,
		model.KindNamespace: func(name string) []string { return validation.IsDNS1123Label(name) },
	}
	good := 0
	for range 5000 {
		name := strings.Repeat("a", r.IntN(2)*r.IntN(70))
		for range r.IntN(5) {
			name += string(letters[r.IntN(len(letters))])
		}
		for kind, problems := range valid {
			spec := map[model.Kind]any{model.KindService: &corev1.Service{}, model.KindPod: &corev1.Pod{}, model.KindNamespace: &corev1.Namespace{}}[kind]
			wrong := func(field string) bool {
				return slices.ContainsFunc(validate.Object(&model.Object{Key: model.Key{Kind: kind, Namespace: name, Name: name}, Spec: spec}), func(p model.Problem) bool {
					return p.Field == field
				})
			}
			if got, want := wrong("metadata.name"), len(problems(name)) > 0; got != want {
				t.Errorf("%s %q: refused: %v, want %v", kind, name, got, want)
			} else if !got {
				good++
			}
			if got, want := wrong("metadata.namespace"), name != "" && len(validation.IsDNS1123Label(name)) > 0; got != want {
				t.Errorf("namespace %q: refused: %v, want %v", name, got, want)
			}
		}
	}
	if good < 4000 {
		t.Errorf("%d names are good", good)
	}
}
