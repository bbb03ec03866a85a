package endpoint

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// remote gathers what of a cluster is in other networks than a class of proxies. In its place stand the gateways of
// those networks. Where there is one network, it takes nothing.
type remote struct {
	r         resolve.Reader
	class     *resolve.Class
	cluster   *ir.Cluster
	endpoints []model.Endpoint      // of the service
	gateways  model.NetworkGateways // all of the mesh
	weights   map[entrance]uint64   // of the endpoints behind each gateway

	// What index finds, with the first endpoint for which it matters:
	networks map[string]model.NetworkGateways // that have gateways, with those to which the proxies can connect
	scale    uint64                           // by which weights are multiplied, so that gateways can share them
	into     map[[2]string]model.NetworkGateways
	spoken   map[pod]struct{} // those with an address of the proxies' IP families
}

type pod struct{ cluster, namespace, name string }

func podOf(ep *model.Endpoint) pod { return pod{ep.Cluster, ep.Namespace, ep.Pod} }

// entrance is a gateway as one of the hosts of a group. Networks and clusters may share one.
type entrance struct {
	group
	at address
}

// address is what Envoy tells the hosts of a cluster apart by.
type address struct {
	host string
	port uint32
}

func newRemote(r resolve.Reader, c *resolve.Class, cl *ir.Cluster, endpoints []model.Endpoint) *remote {
	out := &remote{r: r, class: c, cluster: cl, endpoints: endpoints}
	if r.SeveralNetworks() { // read whatever the class's network, for which this may be computed again
		out.gateways, out.weights = r.NetworkGateways(), map[entrance]uint64{}
	}
	return out
}

// index sorts the gateways by network, once for all endpoints.
func (n *remote) index() {
	if n.networks != nil {
		return
	}
	n.networks, n.into = map[string]model.NetworkGateways{}, map[[2]string]model.NetworkGateways{}
	var usable model.NetworkGateways
	for _, gateway := range n.gateways {
		within := n.networks[gateway.Network]
		if speaks(n.class, gateway.Address) {
			usable, within = append(usable, gateway), append(within, gateway)
		}
		n.networks[gateway.Network] = within
	}
	n.scale = uint64(usable.Scale())
	n.spoken = map[pod]struct{}{}
	for i := range n.endpoints {
		if ep := &n.endpoints[i]; ep.Pod != "" && ep.Address != "" && speaks(n.class, ep.Address) {
			n.spoken[podOf(ep)] = struct{}{}
		}
	}
}

// second tells whether an endpoint is the other address of a pod that counts by one of the proxies' IP families. Where
// it would count itself, pods behind gateways would weigh twice what those beside the proxies do.
func (n *remote) second(ep *model.Endpoint) bool {
	_, known := n.spoken[podOf(ep)]
	return known && !speaks(n.class, ep.Address)
}

// behind tells whether an endpoint is in a network with gateways, one that the proxies are not in.
func (n *remote) behind(ep *model.Endpoint) bool {
	if len(n.gateways) == 0 || n.class.Network.Reaches(ep.Network) {
		return false
	}
	n.index()
	_, gated := n.networks[ep.Network]
	return gated
}

// reaches tells whether the proxies have an address to connect to for an endpoint: its own or that of a gateway.
func (n *remote) reaches(ep *model.Endpoint) bool {
	if n.behind(ep) {
		return len(n.gatewaysInto(ep)) > 0
	}
	return ep.Address != "" && speaks(n.class, ep.Address)
}

// takes tells whether an endpoint is not for the proxies to connect to by its own address. Only those that are spoken
// to by mutual TLS are behind gateways, which find them by the name in the handshake.
func (n *remote) takes(ep *model.Endpoint) bool {
	if len(n.gateways) == 0 {
		return false
	}
	mutual := n.mutual(ep)
	if !n.behind(ep) {
		return false
	}
	if !mutual || n.second(ep) {
		return true
	}
	gateways := n.gatewaysInto(ep)
	for _, gateway := range gateways {
		behind := model.Endpoint{Network: gateway.Network, Cluster: gateway.Cluster, Locality: ep.Locality}
		g := group{priority: priority(n.r, n.cluster.Endpoints.Locality, n.class, &behind), locality: ep.Locality}
		n.weights[entrance{g, address{gateway.Address, gateway.Port}}] += uint64(max(ep.Weight, 1)) * n.scale / uint64(len(gateways))
	}
	return true
}

// mutual tells whether the proxies speak mutual TLS of the mesh to an endpoint: as the DestinationRule says, or where
// it says nothing as the endpoint does.
func (n *remote) mutual(ep *model.Endpoint) bool {
	able := mutualTLS(n.r, ep)
	if n.cluster.AutoTLS || n.cluster.Endpoints.MutualOnly {
		return able
	}
	return n.cluster.TLS != nil && n.cluster.TLS.CertSecret == ir.SecretWorkload
}

func (n *remote) gatewaysInto(ep *model.Endpoint) model.NetworkGateways {
	key := [2]string{ep.Network, cmp.Or(ep.Cluster, n.r.Cluster())}
	gateways, known := n.into[key]
	if !known {
		gateways = n.networks[ep.Network].Into(key[0], key[1])
		n.into[key] = gateways
	}
	return gateways
}

// put adds the gateways to the groups, after the hosts that are there. Those are weighed in the same measure.
func (n *remote) put(to groups) {
	if len(n.weights) == 0 {
		return
	}
	for _, l := range to {
		for i := range l.Endpoints {
			l.Endpoints[i].Weight = clipped(uint64(l.Endpoints[i].Weight) * n.scale)
		}
	}
	hosts := n.hosts()
	at := slices.SortedFunc(maps.Keys(hosts), func(a, b address) int {
		return cmp.Or(strings.Compare(a.host, b.host), cmp.Compare(a.port, b.port))
	})
	for _, a := range at {
		l := to.of(hosts[a].group)
		l.Endpoints = append(l.Endpoints, ir.Endpoint{Address: a.host, Port: a.port, Weight: clipped(max(hosts[a].weight, 1))})
	}
}

// host is where a gateway stands among a cluster's hosts.
type host struct {
	group
	weight uint64
	most   uint64 // what of the weight is of the group
}

// hosts gives each gateway one place, since Envoy keeps no second host of an address in a cluster. It is in the nearest
// priority, with all that counts there, and in the locality that most of it is of.
func (n *remote) hosts() map[address]host {
	out := make(map[address]host, len(n.weights))
	for e, weight := range n.weights {
		h, known := out[e.at]
		switch nearer := cmp.Compare(e.priority, h.priority); {
		case !known || nearer < 0:
			h = host{group: e.group, weight: weight, most: weight}
		case nearer == 0:
			h.weight += weight
			if weight > h.most || weight == h.most && compareNames(e.locality, h.locality) < 0 {
				h.group, h.most = e.group, weight
			}
		}
		out[e.at] = h
	}
	return out
}

func clipped(weight uint64) uint32 { return uint32(min(weight, math.MaxUint32)) }
