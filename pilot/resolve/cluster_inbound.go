package resolve

import (
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Sources from which a sidecar connects to its own workload: traffic redirection lets these
// through, so that it does not come back to the proxy.
const (
	inboundSourceIPv4 = "127.0.0.6"
	inboundSourceIPv6 = "::6"
)

// inboundCleanup is how long a connection pool to the own workload is kept without use.
const inboundCleanup = time.Minute

// inbound adds a cluster for each container port that a service leads to. It goes to the
// address that the client asked for, which is the pod's own.
func (b *clusterBuilder) inbound() {
	for i := 0; i < len(b.c.Inbound); {
		first := b.c.Inbound[i]
		cl := &ir.Cluster{
			Name:      model.ClusterName("inbound", first.TargetPort, "", ""),
			Discovery: ir.DiscoveryOriginalDst, Balancing: ir.BalanceByCluster,
			BindSources: b.inboundSources(), CleanupInterval: inboundCleanup,
		}
		cl.AltStatName = cl.Name + ";"
		if pattern := b.r.Mesh().GetInboundClusterStatName(); pattern != "" {
			cl.AltStatName = statName(pattern, first.Host, first.Service.Name+"."+first.Service.Namespace, first.Port, first.Name, "")
		}
		connectionBasics(b.r.Mesh(), cl)
		cl.HTTP.Version = upstreamVersion(first.Protocol)
		b.inboundPool(first, cl)
		for ; i < len(b.c.Inbound) && b.c.Inbound[i].TargetPort == first.TargetPort; i++ {
			in := b.c.Inbound[i]
			ref := ir.ServiceRef{Host: in.Host, Name: in.Service.Name, Namespace: in.Service.Namespace}
			if n := len(cl.Metadata.Services); n == 0 || cl.Metadata.Services[n-1] != ref {
				cl.Metadata.Services = append(cl.Metadata.Services, ref)
			}
		}
		b.add(cl)
	}
}

// inboundPool applies the connection pool of the service's own DestinationRule, which also
// limits what its workloads accept. Rules that select workloads are meant for clients only.
func (b *clusterBuilder) inboundPool(in InboundPort, cl *ir.Cluster) {
	svc := b.r.Service(b.c.Namespace, in.Host)
	if svc == nil {
		return
	}
	clients := *b.c
	clients.DestinationRules = nil
	rule, _ := ruleFor(b.r, &clients, svc)
	if rule == nil || rule.policy.spec == nil {
		return
	}
	cl.Metadata.Config = ConfigPath(rule.object.Key)
	pool := policyFor(b.r, rule, "", in.Port).pool
	if pool.object == nil || pool.object.Kind != model.KindDestinationRule {
		return
	}
	version := cl.HTTP.Version
	applyPool(b.r.Mesh(), pool, in.Protocol, cl)
	cl.HTTP.Version = version // how the workload is spoken to is the port's matter
}

// passthrough adds the clusters for destinations that the mesh does not know, outbound and inbound.
func (b *clusterBuilder) passthrough() {
	b.add(&ir.Cluster{
		Name: model.PassthroughCluster, Discovery: ir.DiscoveryOriginalDst, Balancing: ir.BalanceByCluster,
		HTTP: ir.HTTPUpstream{Version: ir.UpstreamDownstream},
	})
	b.add(&ir.Cluster{
		Name: model.InboundPassthroughCluster, Discovery: ir.DiscoveryOriginalDst, Balancing: ir.BalanceByCluster,
		HTTP: ir.HTTPUpstream{Version: ir.UpstreamDownstream}, BindSources: b.inboundSources(),
	})
}

func (b *clusterBuilder) inboundSources() []string {
	switch {
	case b.c.IPv4 && b.c.IPv6:
		return []string{inboundSourceIPv4, inboundSourceIPv6}
	case b.c.IPv6:
		return []string{inboundSourceIPv6}
	}
	return []string{inboundSourceIPv4}
}
