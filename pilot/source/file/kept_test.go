package file

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// readMetadata gives labels, and all annotations that somebody reads with one that nobody does.
func readMetadata() (labels, annotations map[string]string) {
	labels = map[string]string{"app": "a", "topology.kubernetes.io/zone": "z", "example.com/own": "x"}
	annotations = map[string]string{
		"example.com/own": "x", model.AnnotationIngressClass: "istio", model.AnnotationDefaultClass: "true", model.AnnotationLeader: "",
	}
	for name := range model.Annotations() {
		annotations[name] = "x"
	}
	return labels, annotations
}

// The sources drop annotations that nobody reads, and nothing else of an object's metadata: those of directories, and
// what an API server gives, in whatever way it is read.
func TestSourcesKeepWhatIsRead(t *testing.T) {
	labels, annotations := readMetadata()
	check := func(about string, o *model.Object) {
		t.Helper()
		want := maps.Clone(annotations)
		delete(want, "example.com/own")
		if !maps.Equal(o.Labels, labels) || !maps.Equal(o.Annotations, want) {
			t.Errorf("%s: labels %v, annotations %v", about, o.Labels, o.Annotations)
		}
	}
	dir, all := t.TempDir(), map[model.Kind]bool{}
	for _, kind := range []model.Kind{
		model.KindService, model.KindPod, model.KindNamespace, model.KindIngress, model.KindIngressClass, model.KindSecret,
	} {
		known, ok := kinds.KubernetesOf([]byte(`"` + string(kind) + `"`))
		if !ok {
			t.Fatalf("%s is no kind of Kubernetes", kind)
		}
		obj := known.Make()
		obj.SetName("a")
		obj.SetLabels(maps.Clone(labels))
		obj.SetAnnotations(maps.Clone(annotations))
		version := ""
		if err := json.Unmarshal([]byte(known.QuotedVersion), &version); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, string(kind)+".yaml"), string(written(t, kind, version, obj)))
		all[kind] = true
		objects, problems := NewReader().Kubernetes(known, obj)
		if len(objects) != 1 {
			t.Fatalf("%s: %v, %v", kind, objects, problems)
		}
		check("of an API server, "+string(kind), objects[0])
	}
	r := startWith(t, Options{Quiet: 10 * time.Millisecond, Settle: 100 * time.Millisecond, Poll: 50 * time.Millisecond, Lean: true}, dir)
	r.eventually(t, "all kinds", func() bool { return len(r.objects) == len(all) })
	for _, key := range slices.SortedFunc(maps.Keys(r.objects), model.Key.Compare) {
		check("of a directory, "+string(key.Kind), r.objects[key])
	}
}

// written writes an object with its kind.
func written(t *testing.T, kind model.Kind, version string, obj metav1.Object) []byte {
	t.Helper()
	data, err := json.Marshal(map[string]any{
		"apiVersion": version, "kind": kind,
		"metadata": map[string]any{"name": obj.GetName(), "labels": obj.GetLabels(), "annotations": obj.GetAnnotations()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}
