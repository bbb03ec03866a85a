package inject

import (
	"slices"

	"istio.io/api/label"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// required decides whether a pod gets a proxy. What is said nearer to the pod wins, except
// that a namespace may keep its pods out altogether.
func (in *Injector) required(pod *corev1.Pod, ns *corev1.Namespace) bool {
	namespace := pod.Namespace
	if ns != nil {
		namespace = ns.Name
	}
	switch {
	case in.config.policyProblem() != nil, pod.Spec.HostNetwork, slices.Contains(model.ClusterNamespaces(), namespace):
		// Redirecting the node's own network would cut the node off.
		return false
	case ns != nil && !in.selected(pod, ns):
		return false
	}
	if said := model.PodInjection(pod.Labels, pod.Annotations); said == "true" || said == "false" {
		return said == "true"
	}
	set := labels.Set(pod.Labels)
	matches := func(s labels.Selector) bool { return s.Matches(set) }
	switch {
	case slices.ContainsFunc(in.config.never, matches):
		return false
	case slices.ContainsFunc(in.config.always, matches):
		return true
	}
	return in.config.Policy == "enabled"
}

// selected tells whether this revision is asked at all, as the selectors of the admission
// webhooks do: the namespace's injection label, then its revision, then the pod's.
func (in *Injector) selected(pod *corev1.Pod, ns *corev1.Namespace) bool {
	isDefault := in.revision == DefaultRevision
	injection, hasInjection := ns.Labels[model.LabelInjection]
	nsRevision, hasNsRevision := ns.Labels[label.IoIstioRev.Name]
	podRevision, hasPodRevision := pod.Labels[label.IoIstioRev.Name]
	podInject := pod.Labels[label.SidecarInject.Name]
	if podInject == "false" {
		return false
	}
	switch {
	case hasInjection:
		return injection == "enabled" && isDefault
	case hasNsRevision:
		return nsRevision == in.revision
	case hasPodRevision:
		return podRevision == in.revision
	}
	return isDefault && (podInject == "true" || in.settings.Webhook.EnableNamespacesByDefault)
}
