package model

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// HasLabels tells whether labels has every pair of want; it has those of an empty set.
func HasLabels(labels, want map[string]string) bool {
	for k, v := range want {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// Selects tells whether a selector matches labels. An empty one selects nothing in particular, so it
// matches none.
func Selects(selector, labels map[string]string) bool {
	return len(selector) > 0 && HasLabels(labels, selector)
}

// NamedPort finds the number of a pod's container port by its name and protocol, as a Service's
// targetPort names it; 0 for none. Init containers count where they keep running (native sidecars),
// after the others, as the endpoint controller of Kubernetes has it.
func NamedPort(pod *corev1.Pod, name string, udp bool) uint32 {
	for i := range pod.Spec.Containers {
		if n := containerPort(&pod.Spec.Containers[i], name, udp); n != 0 {
			return n
		}
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			continue
		}
		if n := containerPort(c, name, udp); n != 0 {
			return n
		}
	}
	return 0
}

func containerPort(c *corev1.Container, name string, udp bool) uint32 {
	for i := range c.Ports {
		p := &c.Ports[i]
		if p.Name == name && (p.Protocol == corev1.ProtocolUDP) == udp && p.ContainerPort > 0 {
			return uint32(p.ContainerPort)
		}
	}
	return 0
}

// LabelSet is a canonical form of a set of labels; keys and values hold neither "=" nor ",".
func LabelSet(labels map[string]string) string {
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(labels)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(k + "=" + labels[k])
	}
	return b.String()
}

// HasLabelSet tells whether labels has every pair of a LabelSet.
func HasLabelSet(labels map[string]string, set string) bool {
	for pair := range strings.SplitSeq(set, ",") {
		k, v, _ := strings.Cut(pair, "=")
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}
