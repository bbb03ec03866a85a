package model

import (
	"slices"

	"istio.io/api/annotation"
	"istio.io/api/label"
	corev1 "k8s.io/api/core/v1"
)

const (
	// ProxyContainer is the container of a pod that holds its proxy.
	ProxyContainer = "istio-proxy"
	// LabelInjection turns injection on ("enabled") or off for a namespace.
	LabelInjection = "istio-injection"
)

// ProxyContainerOf gives the container of a pod that holds its proxy, be it one that is started before the others; nil for
// none.
func ProxyContainerOf(pod *corev1.PodSpec) *corev1.Container {
	for _, all := range [][]corev1.Container{pod.Containers, pod.InitContainers} {
		if i := slices.IndexFunc(all, func(c corev1.Container) bool { return c.Name == ProxyContainer }); i >= 0 {
			return &all[i]
		}
	}
	return nil
}

// ProxyTypeOf tells which proxy a pod has, "" for none.
func ProxyTypeOf(pod *corev1.PodSpec) ProxyType {
	c := ProxyContainerOf(pod)
	switch {
	case c == nil:
		return ""
	case slices.Contains(c.Args, string(RouterProxy)):
		return RouterProxy
	}
	return SidecarProxy
}

// ClusterNamespaces hold what a cluster itself needs in order to run a mesh. Nothing is injected there.
func ClusterNamespaces() []string {
	return []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}
}

// PodInjection gives what a pod's label says about its injection, or its annotation if there is no such
// label. Any other value than "true" and "false" says nothing.
func PodInjection(labels, annotations map[string]string) string {
	if text, ok := labels[label.SidecarInject.Name]; ok {
		return text
	}
	return annotations[annotation.SidecarInject.Name]
}
