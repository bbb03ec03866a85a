package store

import "github.com/pilothouse-mesh/pilothouse/pilot/model"

// lost tells whether an endpoint is out of service only because nobody has heard of its pod's node.
func lost(pod *model.Pod, health model.Health) bool {
	return pod.Lost && !pod.Deleting && health == model.Unhealthy
}

// keepLost keeps the endpoints of lost nodes in service where a service has no others that are: they may
// well serve, and without them nothing would. Once another is ready, they wait for their nodes. It changes eps.
func keepLost(eps []model.Endpoint) []model.Endpoint {
	health := model.Healthy
	for i := range eps {
		if !eps[i].Lost && eps[i].Health == model.Healthy {
			health = model.Unhealthy
			break
		}
	}
	for i := range eps {
		if eps[i].Lost {
			eps[i].Health = health
		}
	}
	return eps
}
