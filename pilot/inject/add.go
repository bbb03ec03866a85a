package inject

import (
	"maps"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// add lays what a patch adds over a pod, as merge does with the patch. What it lays is used up. It knows only patches
// that add labels, annotations and named items of lists, as most templates' do (see added); ok is false where the pod
// has an item of one of their names. It takes a fraction of the time, and a pod waits for it.
func add(pod, more *corev1.Pod) (ok bool) {
	spec, from := &pod.Spec, &more.Spec
	if !distinct(from.InitContainers, spec.InitContainers, containerName) || !distinct(from.Containers, spec.Containers, containerName) ||
		!distinct(from.Volumes, spec.Volumes, volumeName) || !distinct(from.ImagePullSecrets, spec.ImagePullSecrets, secretName) {
		return false
	}
	spec.InitContainers = slices.Concat(from.InitContainers, spec.InitContainers)
	spec.Containers = slices.Concat(from.Containers, spec.Containers)
	spec.Volumes = slices.Concat(from.Volumes, spec.Volumes)
	spec.ImagePullSecrets = slices.Concat(from.ImagePullSecrets, spec.ImagePullSecrets)
	pod.Labels, pod.Annotations = overlaid(pod.Labels, more.Labels), overlaid(pod.Annotations, more.Annotations)
	return true
}

// added gives what a patch adds, or nil if it does more than that.
func (in *Injector) added(patch object) *corev1.Pod {
	more := &corev1.Pod{}
	if !onlyAdds(patch) || !in.pods.fill(reflect.ValueOf(more).Elem(), patch) {
		return nil
	}
	return more
}

// onlyAdds tells whether a patch has only what add knows.
func onlyAdds(patch object) bool {
	for _, part := range patch {
		fields, isObject := part.value.(object)
		if !isObject {
			return false
		}
		for _, m := range fields {
			if part.name == "spec" && isNamedList(m) || part.name == "metadata" && isTexts(m) {
				continue
			}
			return false
		}
	}
	return isPlain(patch)
}

func isNamedList(m member) bool {
	items, isList := m.value.([]any)
	if !isList || !slices.Contains([]string{"initContainers", "containers", "volumes", "imagePullSecrets"}, m.name) {
		return false
	}
	return !slices.ContainsFunc(items, func(item any) bool {
		o, _ := item.(object)
		name, _ := o.get("name").(string)
		return name == ""
	})
}

func isTexts(m member) bool {
	_, isObject := m.value.(object)
	return isObject && (m.name == "labels" || m.name == "annotations")
}

// distinct tells whether each of the new items has a name of its own.
func distinct[T any](items, others []T, name func(T) string) bool {
	for i, item := range items {
		same := func(other T) bool { return name(other) == name(item) }
		if slices.ContainsFunc(items[:i], same) || slices.ContainsFunc(others, same) {
			return false
		}
	}
	return true
}

// overlaid gives a map with another over it.
func overlaid(base, over map[string]string) map[string]string {
	if len(over) == 0 {
		return base
	}
	out := make(map[string]string, len(base)+len(over)+4) // injection adds some more
	maps.Copy(out, base)
	maps.Copy(out, over)
	return out
}
