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
	r        resolve.Reader
	class    *resolve.Class
	cluster  *ir.Cluster
	gateways model.NetworkGateways // all of the mesh
	weights  map[entrance]uint64   // of the endpoints behind each gateway

	scale uint64 // by which weights are multiplied, so that gateways can share them
	into  map[[2]string]model.NetworkGateways
}

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

func newRemote(r resolve.Reader, c *resolve.Class, cl *ir.Cluster) *remote {
	out := &remote{r: r, class: c, cluster: cl}
	if r.SeveralNetworks() { // read whatever the class's network, for which this may be computed again
		out.gateways, out.weights, out.into = r.NetworkGateways(), map[entrance]uint64{}, map[[2]string]model.NetworkGateways{}
		out.scale = uint64(out.gateways.Scale())
	}
	return out
}

// takes tells whether an endpoint is not for the proxies to connect to by its own address. Only those that are spoken
// to by mutual TLS are behind gateways, which find them by the name in the handshake.
func (n *remote) takes(ep *model.Endpoint) bool {
	if len(n.gateways) == 0 {
		return false
	}
	mutual := n.mutual(ep)
	if n.class.Network.Reaches(ep.Network) {
		return false
	}
	gateways := n.gatewaysInto(ep)
	if len(gateways) == 0 {
		return false
	}
	if !mutual {
		return true
	}
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
		gateways = n.gateways.Into(key[0], key[1])
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
