package resolve

import (
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

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
	if all, _ := ingressOf(b.r, b.c); len(all) > 0 {
		b.ingressClusters(all)
		return
	}
	for i := 0; i < len(b.c.Inbound); {
		first := b.c.Inbound[i]
		cl := b.inboundCluster(model.ClusterName("inbound", first.TargetPort, "", ""), first.Protocol)
		if pattern := b.r.Mesh().GetInboundClusterStatName(); pattern != "" {
			cl.AltStatName = statName(pattern, first.Host, first.Service.Name+"."+first.Service.Namespace, first.Port, first.Name, "")
		}
		b.toLocalhost(first.TargetPort, cl)
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

// inboundCluster gives a cluster of the workload that goes where a connection was sent to.
func (b *clusterBuilder) inboundCluster(name string, protocol model.Protocol) *ir.Cluster {
	cl := &ir.Cluster{
		Name: name, AltStatName: name + ";",
		Discovery: ir.DiscoveryOriginalDst, Balancing: ir.BalanceByCluster,
		BindSources: b.inboundSources(), CleanupInterval: inboundCleanup,
	}
	connectionBasics(b.r.Mesh(), cl)
	cl.HTTP.Version = upstreamVersion(protocol)
	return cl
}

// toLocalhost makes a cluster lead to the pod's loopback address, where the mesh says that applications
// listen there.
func (b *clusterBuilder) toLocalhost(port uint32, cl *ir.Cluster) {
	if b.r.Mesh().GetInboundTrafficPolicy().GetMode() == meshconfig.MeshConfig_InboundTrafficPolicy_LOCALHOST {
		toBackend(&ir.Backend{Address: loopback(b.c), Port: port}, cl)
	}
}

// toBackend makes a cluster of the workload lead to an endpoint of its own.
func toBackend(backend *ir.Backend, cl *ir.Cluster) {
	if cl.Backend = backend; backend.Address != "" || backend.Pipe != "" {
		cl.Discovery, cl.Balancing, cl.BindSources, cl.CleanupInterval = ir.DiscoveryStatic, ir.BalanceRoundRobin, nil, 0
	}
}

// inboundPool applies the connection pool of the Sidecar object, else of the service's own DestinationRule, else the mesh's, which
// also limits what its workloads accept. Rules that select workloads are meant for clients only.
func (b *clusterBuilder) inboundPool(in InboundPort, cl *ir.Cluster) {
	if pool := inboundConnectionPool(b.r, b.c); pool != nil {
		b.sidecarPool(pool, in.Protocol, cl)
		return
	}
	rule, policy := inboundPolicy(b.r, b.c, in)
	if rule != nil && rule.policy.spec != nil {
		cl.Metadata.Config = configPath(rule.object, "destination-rule")
	}
	version := cl.HTTP.Version
	applyPool(b.r.Mesh(), policy.pool, in.Protocol, cl)
	cl.HTTP.Version = version // how the workload is spoken to is the port's matter
}

// inboundPolicy is that of a port's service: of its own DestinationRule, nil if it has none, and of the mesh.
func inboundPolicy(r Reader, c *Class, in InboundPort) (rule *destinationRule, _ trafficPolicy) {
	if svc := r.Service(c.Namespace, in.Host); svc != nil {
		clients := *c
		clients.DestinationRules = nil
		rule, _ = ruleFor(r, &clients, svc)
	}
	return rule, policyFor(r, rule, "", in.Port)
}

// inboundPool is the connection pool that a port of the workload has, from where the method of that name takes it.
func inboundPool(r Reader, c *Class, in InboundPort) *networking.ConnectionPoolSettings {
	if pool := inboundConnectionPool(r, c); pool != nil {
		return pool
	}
	_, policy := inboundPolicy(r, c, in)
	return policy.pool.spec
}

// passthroughIdle is how long a connection to an unknown destination is kept without a request, as in
// Istio: it may be one of very many.
const passthroughIdle = 5 * time.Minute

// passthrough adds the clusters for destinations that the mesh does not know, outbound and inbound.
func (b *clusterBuilder) passthrough() {
	outside := b.passthroughCluster(model.PassthroughCluster, nil)
	outside.RemoveHeaders = peerHeaders
	b.add(outside)
	b.add(b.passthroughCluster(model.InboundPassthroughCluster, b.inboundSources()))
}

func (b *clusterBuilder) passthroughCluster(name string, sources []string) *ir.Cluster {
	idle := passthroughIdle
	cl := &ir.Cluster{
		Name: name, Discovery: ir.DiscoveryOriginalDst, Balancing: ir.BalanceByCluster, BindSources: sources,
		HTTP: ir.HTTPUpstream{Version: ir.UpstreamDownstream, IdleTimeout: &idle},
	}
	connectionBasics(b.r.Mesh(), cl)
	applyPool(b.r.Mesh(), policyFor(b.r, nil, "", 0).pool, model.ProtocolAuto, cl)
	return cl
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
