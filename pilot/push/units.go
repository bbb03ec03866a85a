package push

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// A unit is what is computed at once. It never changes, so that products share it; one that is
// computed again is another.

// clusterUnit is the clusters of one service. It follows from the rows of its host.
type clusterUnit struct {
	clusters  []*ir.Cluster
	resources []*Resource // of clusters; nil for one that is forbidden and never was served
}

// listenerUnit is one listener of services.
type listenerUnit struct {
	read     []string // hosts whose rows it follows from, sorted
	resource *Resource
}

// hostUnit is the virtual host of a service in a route configuration, or those of no service.
type hostUnit struct {
	service *model.Service // nil for those of no service
	read    []string       // hosts whose rows it follows from, sorted
	hosts   []*virtualHost
	err     error // of a host that came out forbidden
}

// unitID names a unit: the clusters or load assignments of a host, a listener, a service's virtual
// host in a route configuration, or, with an empty host, those of no service there.
type unitID struct {
	typ        Type
	name, host string
}

func clustersOf(host string) unitID    { return unitID{typ: Clusters, host: host} }
func assignmentsOf(host string) unitID { return unitID{typ: Endpoints, host: host} }
func listenerOf(name string) unitID    { return unitID{typ: Listeners, name: name} }

// ofLayout stands for the layout among units.
var ofLayout = unitID{typ: NumTypes}

// maker computes the units of a product.
type maker struct {
	*product
	reader resolve.Reader
}

func (m maker) clusters(host string) *clusterUnit {
	m.computed++
	clusters, problems := resolve.ServiceClusters(m.reader, &m.class, m.layout.Scope.Service(host))
	u := &clusterUnit{}
	for i, cl := range clusters {
		if slices.ContainsFunc(clusters[i+1:], func(o *ir.Cluster) bool { return o.Name == cl.Name }) {
			continue // a port number that stands twice: the last counts
		}
		res, cl, err := m.encoder.cluster(cl)
		u.clusters = append(u.clusters, cl)
		u.resources = append(u.resources, m.serves(Clusters, cl.Name, res, err, &problems))
	}
	m.report(clustersOf(host), problems)
	return u
}

// assign gives the load assignments of a service's clusters that do not depend on locality.
func (m maker) assign(host string, u *clusterUnit, out map[string]*Resource) {
	var problems []model.Problem
	for _, cl := range u.clusters {
		if assigned(cl) && !isLocal(cl) {
			res, err := m.encoder.assignment(m.reader, &m.class, cl)
			out[cl.Name] = m.serves(Endpoints, cl.Name, res, err, &problems)
		}
	}
	m.report(assignmentsOf(host), problems)
}

func (m maker) listener(name string) *listenerUnit {
	m.computed++
	u := &listenerUnit{}
	l, problems := m.layout.Listener(m.reader, name, func(host string) { u.read = append(u.read, host) })
	res, err := m.encoder.listener(l)
	u.resource = m.serves(Listeners, name, res, err, &problems)
	u.read = sortedOnce(u.read)
	m.report(listenerOf(name), problems)
	return u
}

// host makes the virtual host of a service, or, with nil, those of no service.
func (m maker) host(id unitID, svc *model.Service) *hostUnit {
	m.computed++
	u := &hostUnit{service: svc}
	saw := func(host string) { u.read = append(u.read, host) }
	var hosts []*ir.VirtualHost
	var problems []model.Problem
	if svc == nil {
		hosts, problems = m.layout.OtherHosts(m.reader, id.name, saw)
	} else {
		var vh *ir.VirtualHost
		vh, problems = m.layout.ServiceHost(m.reader, id.name, svc, saw)
		hosts = []*ir.VirtualHost{vh}
	}
	for _, vh := range hosts {
		var encoded *virtualHost
		if encoded, u.err = m.encoder.virtualHost(vh); u.err != nil {
			break
		}
		u.hosts = append(u.hosts, encoded)
	}
	u.read = sortedOnce(u.read)
	m.report(id, problems)
	return u
}

func sortedOnce(list []string) []string {
	slices.Sort(list)
	return slices.Clip(slices.Compact(list))
}

// readsAny tells whether a list of hosts has any of a set.
func readsAny(read []string, set map[string]struct{}) bool {
	return slices.ContainsFunc(read, func(host string) bool { return in(host, set) })
}
