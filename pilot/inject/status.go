package inject

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"istio.io/api/annotation"
	corev1 "k8s.io/api/core/v1"
)

// injectionStatus is the annotation by which others see what was added to a pod.
type injectionStatus struct {
	InitContainers   []string `json:"initContainers"`
	Containers       []string `json:"containers"`
	Volumes          []string `json:"volumes"`
	ImagePullSecrets []string `json:"imagePullSecrets"`
	Revision         string   `json:"revision"`
}

func containerName(c corev1.Container) string         { return c.Name }
func volumeName(v corev1.Volume) string               { return v.Name }
func secretName(r corev1.LocalObjectReference) string { return r.Name }

// added gives the names that are new.
func added[T any](before, after []T, name func(T) string) []string {
	var out []string
	for _, v := range after {
		if !slices.ContainsFunc(before, func(b T) bool { return name(b) == name(v) }) {
			out = append(out, name(v))
		}
	}
	return out
}

// without removes what bears one of the names.
func without[T any](list []T, names []string, name func(T) string) []T {
	out := slices.DeleteFunc(slices.Clone(list), func(v T) bool { return slices.Contains(names, name(v)) })
	if len(out) == 0 {
		return nil
	}
	return out
}

// writeStatus notes what was added. Containers that the pod had itself and that a template
// completed count as added: they come back from the overrides.
func writeStatus(pod, original *corev1.Pod, revision string) error {
	var own overrides
	if text, ok := pod.Annotations[annotation.ProxyOverrides.Name]; ok {
		if err := json.Unmarshal([]byte(text), &own); err != nil {
			return fmt.Errorf("annotation %s: %w", annotation.ProxyOverrides.Name, err)
		}
	}
	var overridden []string
	for _, c := range append(own.InitContainers, own.Containers...) {
		overridden = append(overridden, c.Name)
	}
	status, err := json.Marshal(injectionStatus{
		InitContainers:   added(without(original.Spec.InitContainers, overridden, containerName), pod.Spec.InitContainers, containerName),
		Containers:       added(without(original.Spec.Containers, overridden, containerName), pod.Spec.Containers, containerName),
		Volumes:          added(original.Spec.Volumes, pod.Spec.Volumes, volumeName),
		ImagePullSecrets: added(original.Spec.ImagePullSecrets, pod.Spec.ImagePullSecrets, secretName),
		Revision:         revision,
	})
	if err != nil {
		return err
	}
	setAnnotations(pod, map[string]string{annotation.SidecarStatus.Name: string(status)})
	return nil
}

// wasInjected tells whether a pod has a trace of an earlier injection.
func wasInjected(pod *corev1.Pod) bool {
	_, status := pod.Annotations[annotation.SidecarStatus.Name]
	_, own := pod.Annotations[annotation.ProxyOverrides.Name]
	return status || own
}

// undo takes back an earlier injection, as far as its status tells, and gives the proxy's container
// as it was, or nil. Labels and annotations stay: the next injection writes them again.
func undo(pod *corev1.Pod) (*corev1.Container, error) {
	text, ok := pod.Annotations[annotation.SidecarStatus.Name]
	if !ok {
		delete(pod.Annotations, annotation.ProxyOverrides.Name)
		return nil, nil
	}
	var status injectionStatus
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		return nil, fmt.Errorf("annotation %s: %w", annotation.SidecarStatus.Name, err)
	}
	var own overrides
	if text, ok := pod.Annotations[annotation.ProxyOverrides.Name]; ok {
		if err := json.Unmarshal([]byte(text), &own); err != nil {
			return nil, fmt.Errorf("annotation %s: %w", annotation.ProxyOverrides.Name, err)
		}
	}
	former := findProxy(pod).DeepCopy()
	if former != nil {
		if err := restoreProbes(pod, former.Env); err != nil {
			return nil, err
		}
		if err := restorePrometheus(pod, former.Env); err != nil {
			return nil, err
		}
	}
	spec := &pod.Spec
	spec.InitContainers = putBack(spec.InitContainers, status.InitContainers, own.InitContainers)
	spec.Containers = putBack(spec.Containers, status.Containers, own.Containers)
	spec.Volumes = without(spec.Volumes, status.Volumes, volumeName)
	spec.ImagePullSecrets = without(spec.ImagePullSecrets, status.ImagePullSecrets, secretName)
	delete(pod.Annotations, annotation.SidecarStatus.Name)
	delete(pod.Annotations, annotation.ProxyOverrides.Name)
	return former, nil
}

// keepAdded lays the proxy's container over that of an earlier injection, so that what others did to that
// one, such as further admission webhooks, stays; what the templates set has its newest value. Variables
// that begin with ISTIO_ are the injector's own: those that are missing now are not wanted any longer.
func keepAdded(pod *corev1.Pod, former *corev1.Container) error {
	proxy := findProxy(pod)
	if proxy == nil || former == nil {
		return nil
	}
	former.Env = slices.DeleteFunc(former.Env, func(e corev1.EnvVar) bool {
		return strings.HasPrefix(e.Name, "ISTIO_") && !slices.ContainsFunc(proxy.Env, func(p corev1.EnvVar) bool { return p.Name == e.Name })
	})
	// A mount whose volume went away with the earlier injection would keep the pod from starting.
	former.VolumeMounts = slices.DeleteFunc(former.VolumeMounts, func(m corev1.VolumeMount) bool {
		return !slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
	})
	merged, err := mergeContainer(*former, *proxy)
	if err != nil {
		return fmt.Errorf("container %s: merging with that of an earlier injection: %w", proxy.Name, err)
	}
	*proxy = *merged
	return nil
}

// putBack removes the containers that were added, and puts the pod's own in their place, or
// at the end where there is none.
func putBack(list []corev1.Container, names []string, own []corev1.Container) []corev1.Container {
	var out []corev1.Container
	named := func(list []corev1.Container, name string) int {
		return slices.IndexFunc(list, func(c corev1.Container) bool { return c.Name == name })
	}
	for _, c := range list {
		if i := named(own, c.Name); i >= 0 {
			out = append(out, own[i])
		} else if !slices.Contains(names, c.Name) {
			out = append(out, c)
		}
	}
	for _, c := range own {
		if named(out, c.Name) < 0 {
			out = append(out, c)
		}
	}
	return out
}
