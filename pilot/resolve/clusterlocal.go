package resolve

import (
	"cmp"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// clusterLocal tells whether clients of a service get the endpoints of their own cluster only. Nodes of other clusters
// may have the names of its own.
func clusterLocal(r Reader, svc *model.Service) bool {
	return svc.NodeLocal || model.ClusterLocal(r.Mesh(), r.Domain(), svc.Hostname)
}

// ClusterOf gives the name of the cluster that a class's proxies are in. They may still have a former name of the control
// plane's own, so a name that no cluster has means that.
func ClusterOf(r Reader, c *Class) string {
	if r.Remote(c.ClusterID) {
		return c.ClusterID
	}
	return r.Cluster()
}

// SameCluster tells whether an endpoint is in the cluster of a class's proxies, or in none that others are not in.
func SameCluster(r Reader, c *Class, ep *model.Endpoint) bool {
	return ep.Listed || cmp.Or(ep.Cluster, r.Cluster()) == ClusterOf(r, c)
}

// endpointsFor gives the endpoints of a service that are for a class's proxies, as far as clusters decide.
func endpointsFor(r Reader, c *Class, svc *model.Service) []model.Endpoint {
	all := r.Endpoints(svc.ID())
	elsewhere := func(ep model.Endpoint) bool { return !SameCluster(r, c, &ep) }
	if !slices.ContainsFunc(all, elsewhere) || !clusterLocal(r, svc) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), elsewhere)
}
