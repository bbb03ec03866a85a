package pod

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type objects struct{}

func (objects) ConfigMap(_, name string) (*corev1.ConfigMap, bool) {
	return &corev1.ConfigMap{Data: map[string]string{"a": "1", "b": "2"}}, name == "settings"
}

func (objects) Secret(_, name string) (*corev1.Secret, bool) {
	return &corev1.Secret{Data: map[string][]byte{"password": []byte("hidden")}}, name == "secret"
}

func TestEnvironment(t *testing.T) {
	yes := true
	key := func(name, k string, optional *bool) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: k, Optional: optional,
		}}
	}
	field := func(path string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
	}
	c := &corev1.Container{
		Name:      "app",
		Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("1500m"), "memory": resource.MustParse("64Mi")}},
		EnvFrom:   []corev1.EnvFromSource{{Prefix: "CM_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}},
		Env: []corev1.EnvVar{
			{Name: "NAME", ValueFrom: field("metadata.name")},
			{Name: "APP", ValueFrom: field("metadata.labels['app']")},
			{Name: "CPU", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}}},
			{Name: "MEM", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory", Divisor: resource.MustParse("1Mi")}}},
			{Name: "URL", Value: "http://$(NAME):$(CM_a)/$(MISSING)/$$(NAME)"},
			{Name: "NONE", ValueFrom: key("absent", "a", &yes)},
			{Name: "SECRET", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "secret"}, Key: "password"}}},
			{Name: "CM_b", Value: "mine"},
		},
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default", Labels: map[string]string{"app": "web"}}}
	env, err := environment(fields{pod: p, container: c}, objects{})
	if err != nil {
		t.Fatal(err)
	}
	want := []corev1.EnvVar{
		{Name: "CM_a", Value: "1"},
		{Name: "CM_b", Value: "mine"},
		{Name: "NAME", Value: "p"},
		{Name: "APP", Value: "web"},
		{Name: "CPU", Value: "2"},
		{Name: "MEM", Value: "64"},
		{Name: "URL", Value: "http://p:1/$(MISSING)/$(NAME)"},
		{Name: "SECRET", Value: "hidden"},
	}
	if diff := cmp.Diff(want, env); diff != "" {
		t.Error(diff)
	}
	c.Env = []corev1.EnvVar{{Name: "X", ValueFrom: key("settings", "absent", nil)}}
	if _, err := environment(fields{pod: p, container: c}, objects{}); err == nil {
		t.Error("a missing key is no error")
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("$(A) $$(A) $( $) $(B")
	f.Fuzz(func(t *testing.T, s string) {
		if got := expand(s, map[string]string{"A": "x"}); len(got) > len(s) {
			t.Errorf("%q became %q", s, got)
		}
	})
}
