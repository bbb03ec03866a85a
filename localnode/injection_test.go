package localnode

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/localnode/state"
	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// Pods get their sidecars by the mesh configuration and the ProxyConfigs that the directories have when they are made.
func TestPodsAreInjectedByWhatTheDirectoriesSay(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(state.Dir{}, func(p model.Problem) { t.Errorf("problem: %v", p) })
	w.onVolumes = func() {}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("ns.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n")
	go func() { done <- file.New([]string{dir}, file.Options{}).Run(ctx, w) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	c := &controller{world: w, cfg: Config{Inject: func(pod *corev1.Pod, ns *corev1.Namespace, by Injection) (*corev1.Pod, bool, error) {
		in, err := inject.New(inject.Options{Mesh: by.Mesh, ProxyConfigs: by.ProxyConfigs})
		if err != nil {
			return nil, false, err
		}
		return in.Pod(pod, ns, inject.Owner{})
	}}}
	// becomes makes pods until the sidecar of one has the value of a variable.
	becomes := func(variable, want string) {
		t.Helper()
		deadline := time.After(20 * time.Second)
		for {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
			}
			out, err := c.prepare(pod, defaults{})
			if err != nil {
				t.Fatal(err)
			}
			got := proxyVariable(t, out, variable)
			if got == want {
				return
			}
			select {
			case <-w.changed:
			case <-deadline:
				t.Fatalf("%s is %q, not %q", variable, got, want)
			}
		}
	}
	const mesh = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: \"{defaultConfig: {proxyMetadata: {A: "
	becomes("A", "")
	write("mesh.yaml", mesh+"one}}}\"}\n")
	becomes("A", "one")
	write("mesh.yaml", mesh+"two}}}\"}\n")
	becomes("A", "two")
	write("proxy.yaml", "apiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\nmetadata: {name: p, namespace: shop}\nspec: {environmentVariables: {A: three}}\n")
	becomes("A", "three")
	if err := os.Remove(filepath.Join(dir, "proxy.yaml")); err != nil {
		t.Fatal(err)
	}
	becomes("A", "two")
}

func proxyVariable(t *testing.T, pod *corev1.Pod, name string) string {
	t.Helper()
	proxy := model.ProxyContainerOf(&pod.Spec)
	if proxy == nil {
		t.Fatal("the pod has no proxy")
	}
	for _, e := range proxy.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}
