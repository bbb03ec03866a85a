package inject

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

const podTemplate = `
metadata:
  labels: {app: web, version: v1}
  annotations: {proxy.istio.io/config: "concurrency: 3"}
spec:
  containers:
  - name: web
    image: web
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {httpGet: {path: /, port: http}}
`

func indented(text string, by int) string {
	return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", by))
}

func newRepeating(t *testing.T) *Injector {
	t.Helper()
	in, err := New(Options{NativeSidecar: true, Random: repeating{}})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// TestManifestsGetWhatTheirPodsGet injects workloads offline, and the pods that controllers make of them as the
// webhook does: both pods are the same.
func TestManifestsGetWhatTheirPodsGet(t *testing.T) {
	controller := true
	for _, c := range []struct {
		kind, version, owner, ownerKind string // whose pods have such a controller
		labels                          map[string]string
		indent                          int
		format                          string
	}{
		{kind: "Deployment", version: "apps/v1", ownerKind: "ReplicaSet", owner: "web-5f", labels: map[string]string{"pod-template-hash": "5f"}, indent: 4, format: "spec:\n  template:%s"},
		{kind: "StatefulSet", version: "apps/v1", ownerKind: "StatefulSet", owner: "web", indent: 4, format: "spec:\n  template:%s"},
		{kind: "DaemonSet", version: "apps/v1", ownerKind: "DaemonSet", owner: "web", indent: 4, format: "spec:\n  template:%s"},
		{kind: "ReplicaSet", version: "apps/v1", ownerKind: "ReplicaSet", owner: "web", indent: 4, format: "spec:\n  template:%s"},
		{kind: "ReplicationController", version: "v1", ownerKind: "ReplicationController", owner: "web", indent: 4, format: "spec:\n  template:%s"},
		{kind: "Job", version: "batch/v1", ownerKind: "Job", owner: "web", indent: 4, format: "spec:\n  template:%s"},
		{kind: "CronJob", version: "batch/v1", ownerKind: "Job", owner: "web-28938241", indent: 8, format: "spec:\n  jobTemplate:\n    spec:\n      template:%s"},
		{kind: "DeploymentConfig", version: "apps.openshift.io/v1", ownerKind: "ReplicationController", owner: "web-1", labels: map[string]string{"deploymentconfig": "web"}, indent: 4, format: "spec:\n  template:%s"},
		{kind: "Pod", version: "v1", format: "%s"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			text := fmt.Sprintf("apiVersion: %s\nkind: %s\n", c.version, c.kind)
			if c.kind == "Pod" {
				text += strings.Replace(podTemplate, "metadata:", "metadata:\n  name: web\n  namespace: shop", 1)
			} else {
				text += "metadata: {name: web, namespace: shop}\n" + fmt.Sprintf(c.format, indented(strings.TrimSuffix(podTemplate, "\n"), c.indent))
			}
			var out strings.Builder
			if err := newRepeating(t).Manifest(File{Name: "a.yaml", Text: []byte(text)}, &out, "default", func(w string) { t.Error(w) }); err != nil {
				t.Fatal(err)
			}
			var object map[string]any
			if err := yaml.Unmarshal([]byte(strings.TrimSuffix(out.String(), "---\n")), &object); err != nil {
				t.Fatalf("%v: %s", err, out.String())
			}
			for _, field := range templateOf(c.kind) {
				object = object[field].(map[string]any)
			}
			offline := decodePod(t, object)

			var pod corev1.Pod
			if err := yaml.Unmarshal([]byte(podTemplate), &pod); err != nil {
				t.Fatal(err)
			}
			complete(&pod.Spec) // as an API server does
			pod.Namespace, pod.Name = "shop", "web"
			for k, v := range c.labels {
				pod.Labels[k] = v
			}
			if c.owner != "" {
				version := c.version
				if c.kind == "DeploymentConfig" {
					version = "v1"
				}
				pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: version, Kind: c.ownerKind, Name: c.owner, Controller: &controller}}
			}
			online, injected, err := newRepeating(t).Pod(&pod, nil, Owner{})
			if err != nil || !injected {
				t.Fatal(err)
			}
			for k := range c.labels {
				delete(online.Labels, k)
			}
			if d := cmp.Diff(online.Spec, offline.Spec); d != "" {
				t.Errorf("-webhook +offline:\n%s", d)
			}
			if d := cmp.Diff(online.Annotations, offline.Annotations); d != "" {
				t.Errorf("-webhook +offline:\n%s", d)
			}
			if d := cmp.Diff(online.Labels, offline.Labels); d != "" {
				t.Errorf("-webhook +offline:\n%s", d)
			}
		})
	}
}

func decodePod(t *testing.T, object any) *corev1.Pod {
	t.Helper()
	text, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.Pod
	if err := yaml.Unmarshal(text, &pod); err != nil {
		t.Fatal(err)
	}
	return &pod
}

func TestManifestsWithOtherThings(t *testing.T) {
	manifest := func(text string) (string, []string, error) {
		var out strings.Builder
		var warnings []string
		err := newRepeating(t).Manifest(File{Name: "a.yaml", Text: []byte(text)}, &out, "default", func(w string) { warnings = append(warnings, w) })
		return out.String(), warnings, err
	}
	const service = "# kept\napiVersion: v1\nkind: Service\nmetadata: {name: web}"
	out, warnings, err := manifest("---\n" + service + "\n---\n\n---\nkind: Namespace\n")
	if err != nil || len(warnings) > 0 || out != service+"\n---\nkind: Namespace\n---\n" {
		t.Errorf("%q, %v, %v", out, warnings, err)
	}
	pod := func(spec string) string {
		return "kind: Pod\nmetadata: {name: p}\nspec: {" + spec + "containers: [{name: a, image: a}]}\n"
	}
	out, warnings, err = manifest(pod("hostNetwork: true, "))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "Pod/p") || strings.Contains(out, "istio-proxy") {
		t.Errorf("%s, %v, %v", out, warnings, err)
	}
	list := "kind: List\nitems:\n- kind: Service\n- " + indented(strings.TrimSpace(pod("")), 2)
	if out, _, err = manifest(list); err != nil || !strings.Contains(out, "name: istio-proxy") || !strings.Contains(out, "kind: Service") {
		t.Errorf("%s, %v", out, err)
	}
	once, _, err := manifest(pod(""))
	if err != nil {
		t.Fatal(err)
	}
	if twice, _, err := manifest(once); err != nil || twice != once {
		t.Errorf("again: %v\n%s", err, cmp.Diff(once, twice))
	}
	for text, want := range map[string]string{
		"kind: Deployment\nmetadata: {name: d}\n": "Deployment/d: spec.template is missing",
		"kind: [": "YAML",
		"kind: Pod\nmetadata: {name: p}\nspec: {containers: none}": "Pod/p: its pod cannot be read",
	} {
		if _, _, err := manifest(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What stands in a List and is no object is told, since no cluster would take it either.
func TestManifestRefusesBrokenItems(t *testing.T) {
	in, err := New(Options{Mesh: model.DefaultMeshConfig()})
	if err != nil {
		t.Fatal(err)
	}
	for items, want := range map[string]string{
		"[null]": "items[0]", "[1]": "items[0]", "[{}]": "items[0]", "[{kind: Service}, x]": "items[1]", "[[{}]]": "items[0]", "x": "items is no list",
		"[{kind: Service}]": "", "[]": "",
	} {
		err := in.Manifest(File{Name: "l", Text: []byte("{apiVersion: v1, kind: List, items: " + items + "}")}, io.Discard, "default", func(string) {})
		if got := fmt.Sprint(err); (err == nil) != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %v", items, err)
		}
	}
}
