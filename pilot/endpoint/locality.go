package endpoint

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// priority is the order in which endpoints are used when nearer ones are ejected: those that share more labels
// with the proxy come first; among those that share as many, what is nearer.
func priority(r resolve.Reader, p ir.LocalityPolicy, c *resolve.Class, endpoint *model.Endpoint) uint32 {
	labels := uint32(len(p.By) - shared(r, &p, c, endpoint))
	if p.OwnNetwork && !c.Network.Reaches(endpoint.Network) {
		labels = uint32(len(p.By) + 1)
	}
	return labels*tiers + distance(&p, c.Locality, endpoint.Locality)
}

// tiers are more than there are distances.
const tiers = 5

// distance is 0 for the proxy's subzone, then comes its zone, its region, the region that is named for failover, and
// all others. With Regions those of one region are alike, since Envoy chooses among them by their zones.
func distance(p *ir.LocalityPolicy, proxy, ep model.Locality) uint32 {
	switch {
	case p.Regions && proxy.Region != "":
		return region(p, proxy.Region, ep.Region)
	case p.Regions || !p.Failover || proxy == (model.Locality{}) || proxy == ep:
		return 0
	case proxy.Region == ep.Region && proxy.Zone == ep.Zone:
		return 1
	case proxy.Region == ep.Region:
		return 2
	}
	return 2 + region(p, proxy.Region, ep.Region)
}

// region is the order of an endpoint by its region: the proxy's own, the one that it fails over to, the others.
func region(p *ir.LocalityPolicy, from, to string) uint32 {
	if from == to {
		return 0
	}
	for _, f := range p.To {
		if f.From == from {
			if f.To == to {
				return 1
			}
			return 2
		}
	}
	return 1
}

// ByProxy tells whether a cluster's endpoints, or their order, depend on more of the proxy than its locality: its
// node, or a label of its own.
func ByProxy(set *ir.EndpointSet) bool {
	own := func(l ir.FailoverLabel) bool { return l.Own && !model.TellsPlace(l.Name) }
	return set.NodeLocal || slices.ContainsFunc(set.Locality.By, own)
}

func prefersNode(p *ir.LocalityPolicy) bool {
	return slices.ContainsFunc(p.By, func(l ir.FailoverLabel) bool { return l.Name == model.LabelNode && l.Own })
}

// shared counts the labels, up to the first that differs, that an endpoint has as it should. What is on the node
// of the proxy is in its zone, whatever labels say.
func shared(r resolve.Reader, p *ir.LocalityPolicy, c *resolve.Class, ep *model.Endpoint) int {
	sameNode := prefersNode(p) && c.Node != "" && c.Node == ep.Node
	for i, l := range p.By {
		want := l.Value
		if l.Own {
			want = valueOfProxy(r, c, l.Name)
		}
		same := want == valueOfEndpoint(r, ep, l.Name)
		if l.Own && (l.Name == model.LabelNode || sameNode && l.Name != model.LabelCluster && model.TellsPlace(l.Name)) {
			same = sameNode
		}
		if !same {
			return i
		}
	}
	return len(p.By)
}

// valueOfProxy gives what a proxy has of a label; those that say where it runs are not among its labels.
func valueOfProxy(r resolve.Reader, c *resolve.Class, label string) string {
	if part, ok := c.Locality.Labelled(label); ok {
		return part
	}
	if label == model.LabelCluster {
		return resolve.ClusterOf(r, c)
	}
	return c.FailoverLabel(label)
}

// valueOfEndpoint gives the same of an endpoint.
func valueOfEndpoint(r resolve.Reader, ep *model.Endpoint, label string) string {
	if part, ok := ep.Locality.Labelled(label); ok {
		return part
	}
	switch label {
	case model.LabelCluster:
		return cmp.Or(ep.Cluster, r.Cluster())
	case model.LabelNetwork:
		return cmp.Or(ep.Network, ep.Labels[label])
	case model.LabelNode:
		return cmp.Or(ep.Node, ep.Labels[label])
	}
	return ep.Labels[label]
}

// compactPriorities renumbers sorted priorities without gaps, which Envoy does not take.
func compactPriorities(localities []ir.LocalityEndpoints) {
	var former, next uint32
	for i := range localities {
		p := localities[i].Priority
		if i > 0 && p != former {
			next++
		}
		former, localities[i].Priority = p, next
	}
}

// shareScale keeps small shares of small localities above the rounding of whole numbers.
const shareScale = 1000

// distribute gives localities the weights that the first entry for the proxy's locality asks
// for; localities that it does not name get no traffic.
func distribute(rules []ir.Distribution, proxy model.Locality, localities []ir.LocalityEndpoints) []ir.LocalityEndpoints {
	rule := distributionFor(rules, proxy)
	if rule == nil {
		return localities
	}
	shares := make([]*ir.LocalityShare, len(localities))
	totals := map[*ir.LocalityShare]uint64{}
	for i := range localities {
		l := model.Locality{Region: localities[i].Region, Zone: localities[i].Zone, SubZone: localities[i].SubZone}
		for j := range rule.To {
			if covers(rule.To[j].Locality, l) {
				shares[i] = &rule.To[j]
				totals[shares[i]] += uint64(localities[i].Weight)
				break
			}
		}
	}
	var out []ir.LocalityEndpoints
	for i, l := range localities {
		if shares[i] == nil || shares[i].Percent == 0 {
			continue
		}
		weight := uint64(min(shares[i].Percent, 100)) * shareScale * uint64(l.Weight) / totals[shares[i]]
		l.Weight = uint32(max(weight, 1))
		out = append(out, l)
	}
	return out
}

func distributionFor(rules []ir.Distribution, proxy model.Locality) *ir.Distribution {
	for i := range rules {
		if covers(rules[i].From, proxy) {
			return &rules[i]
		}
	}
	return nil
}

// covers tells whether a pattern region/zone/subzone, where a trailing part may be "*" or
// missing, matches a locality.
func covers(pattern string, l model.Locality) bool {
	for i, part := range strings.Split(pattern, "/") {
		switch {
		case part == "*":
			return true
		case i > 2 || part != [...]string{l.Region, l.Zone, l.SubZone}[i]:
			return false
		}
	}
	return true
}
