package inject

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"
	"istio.io/api/annotation"
	networking "istio.io/api/networking/v1beta1"
	typev1beta1 "istio.io/api/type/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/trap"
)

// What a pod's proxy gets from ProxyConfig objects: those of its labels over its annotation, that over its
// namespace's, those over the root namespace's; variables one by one.
func TestProxyConfigObjects(t *testing.T) {
	object := func(namespace, name string, age int, selector map[string]string, concurrency int32, env map[string]string) *model.Object {
		pc := &networking.ProxyConfig{EnvironmentVariables: env}
		if concurrency > 0 {
			pc.Concurrency = wrapperspb.Int32(concurrency)
		}
		if selector != nil {
			pc.Selector = &typev1beta1.WorkloadSelector{MatchLabels: selector}
		}
		return &model.Object{Key: model.Key{Kind: model.KindProxyConfig, Namespace: namespace, Name: name}, Created: time.Unix(int64(age), 0), Spec: pc}
	}
	all := []*model.Object{
		object("a", "younger", 9, nil, 8, nil),
		object(model.RootNamespace, "mesh", 1, nil, 1, map[string]string{"A": "mesh", "B": "mesh"}),
		object("a", "namespace", 2, nil, 2, map[string]string{"B": "namespace"}),
		object("a", "workload", 3, map[string]string{"app": "x"}, 4, map[string]string{"C": "workload"}),
		object("b", "other", 1, map[string]string{"app": "x"}, 5, nil),
		object(model.RootNamespace, "selecting", 1, map[string]string{"app": "x"}, 6, nil),
	}
	in, err := New(Options{ProxyConfigs: all})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		namespace, app, annotation string
		concurrency                int32
		env                        string
		fallen                     int32 // the concurrency where another scope comes first
	}{
		{"c", "x", "", 1, "mesh mesh ", 6},
		{"a", "y", "", 2, "mesh namespace ", 1},
		{"a", "y", "concurrency: 3", 3, "mesh namespace ", 2},
		{"a", "x", "{concurrency: 3, proxyMetadata: {C: annotation}}", 4, "mesh namespace workload", 3},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Labels: map[string]string{"app": c.app}}}
		if c.annotation != "" {
			pod.Annotations = map[string]string{annotation.ProxyConfig.Name: c.annotation}
		}
		d, err := in.data(pod, nil, Owner{})
		if err != nil {
			t.Fatal(err)
		}
		env := d.ProxyConfig.GetProxyMetadata()
		if got := env["A"] + " " + env["B"] + " " + env["C"]; d.ProxyConfig.GetConcurrency().GetValue() != c.concurrency || got != c.env {
			t.Errorf("%+v: %d, %s", c, d.ProxyConfig.GetConcurrency().GetValue(), got)
		}
		trap.Apart(t, "proxyconfig-by-scope", d.ProxyConfig.GetConcurrency().GetValue(), c.fallen)
	}
}
