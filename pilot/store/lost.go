package store

import (
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// lost tells whether an endpoint is out of service only because nobody has heard of its pod's node.
func lost(pod *model.Pod, health model.Health) bool {
	return pod.Lost && !pod.Deleting && health == model.Unhealthy
}

// lostInSlice tells it of an endpoint in an EndpointSlice. Kubernetes' own controller makes slices of what pods
// say, a moment later: where it says something else than a pod, as when a node is lost or comes back, the pod counts.
func lostInSlice(pod *model.Pod, slice *model.Object, health model.Health) bool {
	late := pod.Ready && !pod.Deleting && health == model.Unhealthy && slice.Labels[discoveryv1.LabelManagedBy] == sliceController
	return late || lost(pod, health)
}

// sliceController is who makes the slices of Services with selectors.
const sliceController = "endpointslice-controller.k8s.io"

// keepLost keeps the endpoints of lost nodes in service where a port of a service has no others that are: they
// may well serve, and without them nothing would. Once another is ready, they wait for their nodes. It changes
// eps, which are sorted.
func keepLost(eps []model.Endpoint) []model.Endpoint {
	for start := 0; start < len(eps); {
		port, end, health := eps[start].ServicePort, start, model.Healthy
		for ; end < len(eps) && eps[end].ServicePort == port; end++ {
			if !eps[end].Lost && eps[end].Health == model.Healthy {
				health = model.Unhealthy
			}
		}
		for ; start < end; start++ {
			if eps[start].Lost {
				eps[start].Health = health
			}
		}
	}
	return eps
}
