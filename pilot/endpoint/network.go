package endpoint

import (
	"cmp"
	"math"
	"slices"

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
	scale    uint64                // by which weights are multiplied, so that gateways can share them
	into     map[[2]string]model.NetworkGateways
	weights  map[entrance]uint64 // of the endpoints behind each gateway
}

// entrance is a gateway as one of the hosts of a group.
type entrance struct {
	group
	model.NetworkGateway
}

func newRemote(r resolve.Reader, c *resolve.Class, cl *ir.Cluster) *remote {
	out := &remote{r: r, class: c, cluster: cl}
	if r.SeveralNetworks() { // read whatever the class's network, for which this may be computed again
		out.gateways, out.into, out.weights = r.NetworkGateways(), map[[2]string]model.NetworkGateways{}, map[entrance]uint64{}
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
	weight := uint64(max(ep.Weight, 1)) * n.scale / uint64(len(gateways))
	for _, gateway := range gateways {
		behind := model.Endpoint{Network: gateway.Network, Cluster: gateway.Cluster, Locality: ep.Locality}
		g := group{priority: priority(n.r, n.cluster.Endpoints.Locality, n.class, &behind), locality: ep.Locality}
		n.weights[entrance{g, gateway}] += weight
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
	entrances := make([]entrance, 0, len(n.weights))
	for e := range n.weights {
		entrances = append(entrances, e)
	}
	slices.SortFunc(entrances, func(a, b entrance) int { return model.CompareGateways(a.NetworkGateway, b.NetworkGateway) })
	for _, e := range entrances {
		l := to.of(e.group)
		l.Endpoints = append(l.Endpoints, ir.Endpoint{Address: e.Address, Port: e.Port, Weight: clipped(max(n.weights[e], 1))})
	}
}

func clipped(weight uint64) uint32 { return uint32(min(weight, math.MaxUint32)) }
