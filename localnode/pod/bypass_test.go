package pod

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestBypass(t *testing.T) {
	id := func(n int64) *int64 { return &n }
	proxy := func(uid, gid *int64) corev1.Container {
		return corev1.Container{Name: "istio-proxy", SecurityContext: &corev1.SecurityContext{RunAsUser: uid, RunAsGroup: gid}}
	}
	app := corev1.Container{Name: "app"}
	for name, c := range map[string]struct {
		pod         []corev1.Container
		user, group *int64
		says        string
	}{
		"the proxy's user":         {[]corev1.Container{proxy(nil, nil), app}, id(1337), nil, "user 1337"},
		"the proxy's group":        {[]corev1.Container{proxy(nil, nil), app}, id(1000), id(1337), "group 1337"},
		"a proxy of another user":  {[]corev1.Container{proxy(id(7), id(8)), app}, id(7), nil, "user 7"},
		"others":                   {[]corev1.Container{proxy(nil, nil), app}, id(1000), id(1000), ""},
		"not known":                {[]corev1.Container{proxy(nil, nil), app}, nil, nil, ""},
		"1337 beside another user": {[]corev1.Container{proxy(id(7), id(8)), app}, id(1337), id(1337), ""},
		"no proxy":                 {[]corev1.Container{app}, id(1337), id(1337), ""},
	} {
		p := &corev1.Pod{Spec: corev1.PodSpec{Containers: c.pod}}
		if got := bypass(p, &app, c.user, c.group); (c.says == "") != (got == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s: %q, want %q", name, got, c.says)
		}
	}
	p := &corev1.Pod{Spec: corev1.PodSpec{InitContainers: []corev1.Container{proxy(nil, nil)}}}
	if got := bypass(p, &p.Spec.InitContainers[0], id(1337), nil); got != "" {
		t.Errorf("the proxy itself: %q", got)
	}
}
