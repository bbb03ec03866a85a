package inject

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// complete fills in those defaults of an API server that the proxy is told of: of ports and of probes. A webhook gets
// pods that have them.
func complete(spec *corev1.PodSpec) {
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			completeContainer(&containers[i])
		}
	}
}

func completeContainer(c *corev1.Container) {
	for i := range c.Ports {
		c.Ports[i].Protocol = cmp.Or(c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	var gets []*corev1.HTTPGetAction
	for _, p := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe, c.StartupProbe} {
		if p != nil {
			p.TimeoutSeconds = cmp.Or(p.TimeoutSeconds, 1)
			gets = append(gets, p.HTTPGet)
			if p.GRPC != nil && p.GRPC.Service == nil {
				p.GRPC.Service = new(string)
			}
		}
	}
	if c.Lifecycle != nil {
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PreStop, c.Lifecycle.PostStart} {
			if h != nil {
				gets = append(gets, h.HTTPGet)
			}
		}
	}
	for _, get := range slices.DeleteFunc(gets, func(get *corev1.HTTPGetAction) bool { return get == nil }) {
		get.Path, get.Scheme = cmp.Or(get.Path, "/"), cmp.Or(get.Scheme, corev1.URISchemeHTTP)
	}
}
