package inject

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// add lays a patch over a pod, which is used up, as merge does. It knows only patches that add labels, annotations and
// named items of lists, as most templates' do; ok is false for others. It takes a fraction of the time, and a pod waits
// for it.
func add(pod *corev1.Pod, patch map[string]any) (ok bool) {
	if !onlyAdds(patch) {
		return false
	}
	var more corev1.Pod
	if runtime.DefaultUnstructuredConverter.FromUnstructured(patch, &more) != nil { // merge has an error that names the field
		return false
	}
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

// onlyAdds tells whether a patch has only what add knows.
func onlyAdds(patch map[string]any) bool {
	for name, v := range patch {
		part, isMap := v.(map[string]any)
		if !isMap || name != "metadata" && name != "spec" {
			return false
		}
		for field, v := range part {
			if name == "spec" && !isNamedList(field, v) || name == "metadata" && !isTexts(field, v) {
				return false
			}
		}
	}
	return fits(patch) && isPlain(patch)
}

func isNamedList(field string, v any) bool {
	items, isList := v.([]any)
	if !isList || !slices.Contains([]string{"initContainers", "containers", "volumes", "imagePullSecrets"}, field) {
		return false
	}
	return !slices.ContainsFunc(items, func(item any) bool {
		m, _ := item.(map[string]any)
		name, _ := m["name"].(string)
		return name == ""
	})
}

func isTexts(field string, v any) bool {
	texts, isMap := v.(map[string]any)
	if !isMap || field != "labels" && field != "annotations" {
		return false
	}
	for _, v := range texts {
		if _, isText := v.(string); !isText { // null takes away
			return false
		}
	}
	return true
}

// isPlain tells whether a patch is all meant as it stands: nothing of it is null, which takes away, or says how it is to
// be merged.
func isPlain(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case map[string]any:
		for name, inner := range v {
			if strings.HasPrefix(name, "$") || !isPlain(inner) {
				return false
			}
		}
	case []any:
		return !slices.ContainsFunc(v, func(item any) bool { return !isPlain(item) })
	}
	return true
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
