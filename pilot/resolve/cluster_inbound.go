package resolve

import (
	"math"
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

// neverCleaned is the longest time that Envoy takes. The hosts of a cluster of the workload are the pod's own few
// addresses, and connections to them are not to end for want of requests.
const neverCleaned = math.MaxInt64/time.Second*time.Second - time.Second

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
		pool, rule := inboundPool(b.r, b.c, first)
		if rule != nil && rule.policy.spec != nil {
			cl.Metadata.Config = configPath(rule.object, "destination-rule")
		}
		limitInbound(pool, cl)
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
		BindSources: b.inboundSources(), CleanupInterval: neverCleaned,
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

// inboundPool gives the connection pool of a port of the workload: the Sidecar object's, else that of the service's own
// DestinationRule, which it gives as well, else the mesh's, which also limits what its workloads accept. Rules that
// select workloads are meant for clients only.
func inboundPool(r Reader, c *Class, in InboundPort) (_ *networking.ConnectionPoolSettings, rule *destinationRule) {
	if pool := inboundConnectionPool(r, c); pool != nil {
		return pool, nil
	}
	if svc := r.Service(c.Namespace, in.Host); svc != nil {
		clients := *c
		clients.DestinationRules = nil
		rule = ruleFor(r, &clients, svc)
	}
	return policyFor(r, rule, "", in.Port).pool.spec, rule
}

// limitInbound applies a connection pool to a cluster of the workload. That is spoken to as the port says, or as the
// client speaks where the pool asks for it; upgrades to HTTP/2 are between proxies.
func limitInbound(pool *networking.ConnectionPoolSettings, cl *ir.Cluster) {
	applyPool(pool, cl)
	if pool.GetHttp().GetUseClientProtocol() {
		cl.HTTP.Version = ir.UpstreamDownstream
	}
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
	applyPool(policyFor(b.r, nil, "", 0).pool.spec, cl)
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
