// Package endpoint builds the load assignment of a cluster: which endpoints of the service
// belong to it, by locality, health and TLS mode. It is a lane of its own beside resolve,
// since endpoints change far more often than configuration.
package endpoint

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// Assignment gives the hosts of a cluster as a class of proxies sees them. It is never
// nil; a cluster whose service is gone has no hosts.
func Assignment(r resolve.Reader, c *resolve.Class, cl *ir.Cluster) *ir.LoadAssignment {
	out := &ir.LoadAssignment{Cluster: cl.Name}
	set := cl.Endpoints
	if set == nil {
		return out
	}
	groups := groups{}
	endpoints := r.Endpoints(model.ServiceID{Namespace: set.Namespace, Hostname: set.Host})
	remote := newRemote(r, c, cl, endpoints)
	labels := chosen(remote, endpoints)
	last := &model.Endpoint{}
	for i := range endpoints {
		ep := &endpoints[i]
		if !belongs(r, c, cl, labels, ep) || remote.takes(ep) || ep.Address == "" || !speaks(c, ep.Address) {
			continue
		}
		if ep.Address == last.Address && ep.Port == last.Port {
			continue // Envoy keeps the first, and its locality would weigh what the others do as well
		}
		last = ep
		l := groups.of(group{priority: priority(r, set.Locality, c, ep), locality: ep.Locality})
		l.Endpoints = append(l.Endpoints, hostOf(r, c, cl, ep))
	}
	remote.put(groups)
	weigh(groups)
	for _, l := range groups {
		out.Localities = append(out.Localities, *l)
	}
	slices.SortFunc(out.Localities, compareLocalities)
	compactPriorities(out.Localities)
	out.Localities = distribute(set.Locality.Distribute, c.Locality, out.Localities)
	if !cl.LocalityWeighted {
		for i := range out.Localities {
			out.Localities[i].Weight = 0
		}
	}
	return out
}

// Inline puts the hosts of a cluster into it whose proxy resolves their names. With one name to resolve
// at a time, the first is taken; without any, the cluster has no hosts.
func Inline(r resolve.Reader, c *resolve.Class, cl *ir.Cluster) {
	at := *c
	at.Locality, at.Network = c.NamesFrom.Locality, c.NamesFrom.Network
	cl.Hosts = Assignment(r, &at, cl)
	if cl.Discovery != ir.DiscoveryLogicalDNS {
		return
	}
	if len(cl.Hosts.Localities) == 0 {
		cl.Discovery = ir.DiscoveryStrictDNS // of the other kind Envoy wants one
		return
	}
	cl.Hosts.Localities = cl.Hosts.Localities[:1]
	first := &cl.Hosts.Localities[0]
	first.Endpoints = first.Endpoints[:1]
}

// weigh sums up the weights of localities. Envoy refuses more than 32 bits in all, so larger ones are
// made smaller in proportion.
func weigh(groups groups) {
	total := uint64(0)
	for _, l := range groups {
		for i := range l.Endpoints {
			total += uint64(l.Endpoints[i].Weight)
		}
	}
	part := total/math.MaxUint32 + 1
	if part > 1 {
		part++ // room for those that are rounded up to 1
	}
	for _, l := range groups {
		for i := range l.Endpoints {
			e := &l.Endpoints[i]
			e.Weight = uint32(max(uint64(e.Weight)/part, 1))
			l.Weight += e.Weight
		}
	}
}

// group is what endpoints are gathered by.
type group struct {
	priority uint32
	locality model.Locality
}

// groups are endpoints by what they are gathered by.
type groups map[group]*ir.LocalityEndpoints

// of gives the endpoints of a group.
func (g groups) of(key group) *ir.LocalityEndpoints {
	l := g[key]
	if l == nil {
		l = &ir.LocalityEndpoints{Region: key.locality.Region, Zone: key.locality.Zone, SubZone: key.locality.SubZone, Priority: key.priority}
		g[key] = l
	}
	return l
}

// chosen gives the labels of the cluster's hosts: its own, or the first to fall back to that any endpoint has.
func chosen(n *remote, endpoints []model.Endpoint) map[string]string {
	cl := n.cluster
	has := func(labels map[string]string) bool {
		for i := range endpoints {
			if ep := &endpoints[i]; ep.Health == model.Healthy && belongs(n.r, n.class, cl, labels, ep) && n.reaches(ep) {
				return true
			}
		}
		return false
	}
	own := cl.Endpoints.Labels
	if len(cl.Endpoints.Fallback) == 0 || has(own) {
		return own
	}
	if i := slices.IndexFunc(cl.Endpoints.Fallback, has); i >= 0 {
		return cl.Endpoints.Fallback[i]
	}
	return own
}

// belongs tells whether an endpoint with labels is a host of the cluster for this class.
func belongs(r resolve.Reader, c *resolve.Class, cl *ir.Cluster, labels map[string]string, ep *model.Endpoint) bool {
	set, kind := cl.Endpoints, model.KindOfAddress(ep.Address)
	inService := (ep.Health == model.Healthy || set.Unready && ep.Health == model.Unhealthy) && ep.Labels[model.LabelDraining] == ""
	if ep.ServicePort != set.PortName || !inService || !c.Network.Sees(ep.Network) || (ep.Port == 0) != (kind == model.AddressUnix) {
		return false
	}
	if set.ClusterLocal && !resolve.SameCluster(r, c, ep) {
		return false
	}
	if set.NodeLocal && (c.Node == "" || ep.Node != c.Node) {
		return false
	}
	for k, v := range labels {
		if got, ok := ep.Labels[k]; !ok || got != v {
			return false
		}
	}
	switch kind {
	case model.AddressName:
		return cl.Discovery.IsDNS()
	case model.AddressUnix:
		return !cl.Discovery.IsDNS()
	}
	return !set.MutualOnly || mutualTLS(r, ep)
}

// speaks tells whether the proxies of a class can connect to an address by its IP family.
func speaks(c *resolve.Class, address string) bool {
	if c.IPv4 == c.IPv6 || strings.Contains(address, ":") == c.IPv6 { // both families, or nothing is known
		return true
	}
	return model.KindOfAddress(address) != model.AddressIP
}

func hostOf(r resolve.Reader, c *resolve.Class, cl *ir.Cluster, ep *model.Endpoint) ir.Endpoint {
	return ir.Endpoint{
		Address: ep.Address, Port: ep.Port, Weight: max(ep.Weight, 1), Workload: workload(r, c, ep),
		Plaintext: cl.AutoTLS && !mutualTLS(r, ep), Unhealthy: ep.Health != model.Healthy,
	}
}

// mutualTLS tells whether an endpoint has a sidecar that takes the mesh's mutual TLS.
func mutualTLS(r resolve.Reader, ep *model.Endpoint) bool {
	return ep.TLSMode == model.TLSModeIstio &&
		resolve.EndpointMTLS(r, ep.Namespace, ep.Labels, ep.Port).Mode != ir.MTLSDisable
}

// workload says what runs at an endpoint. The cluster is left out where the class's proxies, who fill it in, give their
// own the same name: ten thousand endpoints would say it alike.
func workload(r resolve.Reader, c *resolve.Class, ep *model.Endpoint) string {
	cluster := cmp.Or(ep.Cluster, r.Cluster())
	if cluster == cmp.Or(c.ClusterID, r.Cluster()) {
		cluster = ""
	}
	return telemetry.WorkloadOf(ep.Workload, ep.Namespace, cluster, ep.Labels).EndpointValue()
}

// compareLocalities puts localities in order of priority, then of name.
func compareLocalities(a, b ir.LocalityEndpoints) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), compareNames(
		model.Locality{Region: a.Region, Zone: a.Zone, SubZone: a.SubZone}, model.Locality{Region: b.Region, Zone: b.Zone, SubZone: b.SubZone}))
}

func compareNames(a, b model.Locality) int {
	return cmp.Or(strings.Compare(a.Region, b.Region), strings.Compare(a.Zone, b.Zone), strings.Compare(a.SubZone, b.SubZone))
}
