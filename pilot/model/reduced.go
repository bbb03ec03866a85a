package model

import corev1 "k8s.io/api/core/v1"

// Reduced gives what of a Kubernetes object decides about proxies, where that is little of it: a *Pod of a
// *corev1.Pod, a *Secret of a *corev1.Secret. For any other Spec ok is false.
func Reduced(spec any) (reduced any, ok bool) {
	switch spec := spec.(type) {
	case *corev1.Pod:
		return NewPod(spec), true
	case *corev1.Secret:
		return NewSecret(spec), true
	}
	return nil, false
}
