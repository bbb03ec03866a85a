package resolve

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Network is what about a proxy decides which workloads it reaches by gateways, and which not at all.
type Network struct {
	Name string // "" for a proxy that reaches all
	// View are the networks whose workloads alone it is to see, each before a comma; "" for all. It sees those of no
	// network in any case.
	View string
}

// Position is where a proxy runs.
type Position struct {
	model.Locality
	Network
}

// Reaches tells whether the proxy connects to workloads of a network by their own addresses.
func (n Network) Reaches(network string) bool {
	return network == "" || n.Name == "" || n.Name == network
}

// Sees tells whether workloads of a network are for the proxy.
func (n Network) Sees(network string) bool {
	return network == "" || n.View == "" || strings.Contains(","+n.View, ","+network+",")
}

// place finds where the workload's proxy is among several networks.
func (w Workload) place(r Reader, p *model.Proxy) Network {
	if !r.SeveralNetworks() {
		return Network{}
	}
	out := Network{Name: w.network(r, p)}
	view := slices.Clone(p.NetworkView)
	slices.Sort(view)
	for _, network := range slices.Compact(view) {
		out.View += network + ","
	}
	return out
}

// network is what the proxy says, or what its pod does, or where that is.
func (w Workload) network(r Reader, p *model.Proxy) string {
	said := cmp.Or(p.Network, w.Labels[model.LabelNetwork])
	if said == "" && w.Pod != nil {
		return r.NetworkOf(w.Pod)
	}
	return said
}
