package main

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// One injector takes for each pod what the directories say then.
func TestUpInjectsByWhatTheDirectoriesSay(t *testing.T) {
	inject, err := injector("")
	if err != nil {
		t.Fatal(err)
	}
	objects, _ := file.Decode([]byte("apiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\nmetadata: {name: p, namespace: shop}\nspec: {environmentVariables: {A: object}}\n"), "p.yaml")
	mesh := model.DefaultMeshConfig()
	mesh.DefaultConfig.ProxyMetadata = map[string]string{"A": "mesh"}
	for want, by := range map[string]localnode.Injection{"": {}, "mesh": {Mesh: mesh}, "object": {Mesh: mesh, ProxyConfigs: objects}} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Labels: map[string]string{"sidecar.istio.io/inject": "true"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
		}
		out, _, err := inject(pod, nil, by)
		if err != nil {
			t.Fatal(err)
		}
		env := model.ProxyContainerOf(&out.Spec).Env
		i := slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.Name == "A" })
		if got := i >= 0; got != (want != "") || got && env[i].Value != want {
			t.Errorf("of %v is set at %d, want %q", env, i, want)
		}
	}
}
