package patch

import (
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// ClusterPlace is what matches ask of a cluster beside its name.
type ClusterPlace struct {
	Hosts  []string // of the services that it is for
	Port   uint32   // 0 for none
	Subset string
}

// Cluster patches a cluster; kept is false where a patch removes it.
func (s Set) Cluster(c Context, at ClusterPlace, fresh func() *clusterv3.Cluster) (out *clusterv3.Cluster, kept bool, problems []model.Problem) {
	return attempt(s, c, fresh, func(r *run, cl *clusterv3.Cluster) (*clusterv3.Cluster, bool) { return r.cluster(at, cl) })
}

// AddedClusters gives those that patches add.
func (s Set) AddedClusters(c Context) []*clusterv3.Cluster {
	return added[*clusterv3.Cluster](s, networking.EnvoyFilter_CLUSTER, c)
}

func (r *run) cluster(at ClusterPlace, cl *clusterv3.Cluster) (*clusterv3.Cluster, bool) {
	kept := true
	r.each(networking.EnvoyFilter_CLUSTER, func(p *Patch) {
		if !kept || !p.matchesCluster(at, cl) {
			return
		}
		switch p.operation {
		case opRemove:
			kept = false
		case opMerge:
			r.mergeCluster(p, cl)
		}
	})
	return cl, kept
}

func (r *run) mergeCluster(p *Patch, cl *clusterv3.Cluster) {
	value := clone[*clusterv3.Cluster](p)
	if s := value.TransportSocket; s != nil {
		sockets := []*core.TransportSocket{cl.GetTransportSocket()}
		for _, m := range cl.GetTransportSocketMatches() {
			sockets = append(sockets, m.GetTransportSocket())
		}
		merged, err := p.mergeSocket(s, sockets...)
		if err != nil {
			r.fail(p, err)
			return
		}
		if merged == nil {
			cl.TransportSocket = s
		}
		value.TransportSocket = nil
	}
	p.merge(cl, value)
	r.check(p, cl)
}

func (p *Patch) matchesCluster(at ClusterPlace, cl *clusterv3.Cluster) bool {
	m := p.match.GetCluster()
	switch {
	case m.GetName() != "":
		return m.GetName() == cl.GetName()
	case m.GetSubset() != "" && m.GetSubset() != at.Subset:
		return false
	case m.GetService() != "" && !slices.Contains(at.Hosts, m.GetService()):
		return false
	}
	return m.GetPortNumber() == 0 || m.GetPortNumber() == at.Port
}

// check refuses what a patch made where Envoy's API forbids it.
func (r *run) check(p *Patch, m proto.Message) {
	if err := allowed(m); err != nil {
		r.fail(p, err)
	}
}

// clone copies what a patch puts in.
func clone[M proto.Message](p *Patch) M { return proto.Clone(p.value).(M) }

// added gives copies of what patches add as wholes. One for any context is added on the way out and at
// gateways.
func added[M proto.Message](s Set, to networking.EnvoyFilter_ApplyTo, c Context) []M {
	var out []M
	for _, p := range s {
		anywhere := p.context == networking.EnvoyFilter_ANY && c == networking.EnvoyFilter_SIDECAR_INBOUND
		if p.operation == opAdd && p.is(to, c) && !anywhere {
			out = append(out, clone[M](p))
		}
	}
	return out
}
