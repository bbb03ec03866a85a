package resolve

import (
	"strconv"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// clusterBuilder gathers the clusters of one class.
type clusterBuilder struct {
	view
	clusters []*ir.Cluster
}

// add takes a cluster in; what of the mesh's basics it lacks is filled in.
func (b *clusterBuilder) add(cl *ir.Cluster) {
	if cl.ConnectTimeout == 0 {
		connectionBasics(b.r.Mesh(), cl)
	}
	cl.BufferLimit, cl.HTTP.KeepCase = b.c.Connections.ClusterBuffer, b.c.Headers.KeepCase
	b.clusters = append(b.clusters, cl)
}

// own adds the clusters that belong to no service that the class sends to.
func (b *clusterBuilder) own() {
	b.add(&ir.Cluster{Name: model.BlackHoleCluster, Discovery: ir.DiscoveryStatic})
	if b.c.Type == model.SidecarProxy {
		b.inbound()
		b.passthrough()
		b.byName()
	}
}

// outbound adds the clusters of a service: for each port one, and one for each subset.
func (b *clusterBuilder) outbound(svc *model.Service) {
	rule := ruleFor(b.r, b.c, svc)
	var subsets []ruleSubset
	if rule != nil {
		b.report(rule.problems...)
		subsets = rule.subsets
	}
	b.hidden(svc)
	for i := range svc.Ports {
		port := &svc.Ports[i]
		if port.Protocol == model.ProtocolUDP {
			continue
		}
		b.add(b.outboundCluster(svc, port, rule, ruleSubset{})) // all of it
		for _, subset := range subsets {
			b.add(b.outboundCluster(svc, port, rule, subset))
		}
	}
}

// serviceRefs names the service of a cluster, unless the host in the cluster's name says it: a thousand
// clusters would say it again.
func serviceRefs(svc *model.Service) []ir.ServiceRef {
	if strings.HasPrefix(svc.Hostname, svc.Name+"."+svc.Namespace+".svc.") {
		return nil
	}
	return []ir.ServiceRef{{Host: svc.Hostname, Name: svc.Name, Namespace: svc.Namespace}}
}

func (b *clusterBuilder) outboundCluster(svc *model.Service, port *model.ServicePort, rule *destinationRule, subset ruleSubset) *ir.Cluster {
	name := subset.name
	cl := &ir.Cluster{
		Name: model.ClusterName("outbound", port.Port, name, svc.Hostname),
		Endpoints: &ir.EndpointSet{
			Namespace: svc.Namespace, Host: svc.Hostname, Port: port.Port, PortName: port.Name, Labels: subset.labels, Fallback: rule.fallback(name),
			NodeLocal: svc.NodeLocal, ClusterLocal: clusterLocal(b.r, svc), ByNetwork: b.r.SeveralNetworks(),
		},
		Metadata: ir.ClusterMetadata{Subset: name, Services: serviceRefs(svc)},
	}
	cl.AltStatName = outboundStatName(b.r.Mesh().GetOutboundClusterStatName(), cl.Name, svc, port, name)
	if rule != nil {
		cl.Metadata.Config = configPath(rule.object, "destination-rule")
	}
	b.resolution(svc, port, cl)
	if svc.External || cl.Discovery == ir.DiscoveryDynamic {
		cl.RemoveHeaders = peerHeaders
	}
	connectionBasics(b.r.Mesh(), cl)
	policy := policyFor(b.r, rule, name, port.Port)
	cl.HTTP.Version = pooledVersion(b.r.Mesh(), b.c.Type, policy.pool.spec.GetHttp(), port.Protocol)
	applyPool(policy.pool.spec, cl)
	if cl.Balancing != ir.BalanceByCluster {
		applyBalance(policy.balance.spec, cl)
		if cl.Endpoints != nil {
			applyLocality(b.r.Mesh(), svc, policy.balance.spec, policy.outlier.spec != nil, cl)
		}
	}
	if cl.Discovery.IsDNS() {
		b.nearNames(policy.balance, cl)
	}
	applyOutlier(policy.outlier.spec, cl)
	countUnready(svc, policy.outlier.spec, cl)
	b.applyTLS(policy.tls, svc, port, name, cl)
	policy.whole.apply(cl)
	return cl
}

// originalDestination makes a cluster go where the application wanted to.
func originalDestination(cl *ir.Cluster) {
	cl.Discovery, cl.Balancing, cl.Endpoints = ir.DiscoveryOriginalDst, ir.BalanceByCluster, nil
}

// outboundStatName is the cluster's name in statistics: the name itself, or by the mesh's
// pattern; the ";" lets Envoy's tag extraction find its end.
func outboundStatName(pattern, name string, svc *model.Service, port *model.ServicePort, subset string) string {
	if pattern == "" {
		return name + ";"
	}
	return statName(pattern, svc.Hostname, svc.Name+"."+svc.Namespace, port.Port, port.Name, subset)
}

func statName(pattern, host, service string, port uint32, portName, subset string) string {
	number := strconv.FormatUint(uint64(port), 10)
	if portName == "" {
		portName = number
	}
	return strings.NewReplacer(
		"%SERVICE_FQDN%", host, "%SERVICE_PORT_NAME%", portName, "%SERVICE_PORT%", number,
		"%TARGET_PORT%", number, "%SERVICE_NAME%", service, "%SERVICE%", service, "%SUBSET_NAME%", subset,
	).Replace(pattern) + ";"
}
