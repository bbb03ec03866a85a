package resolve

import (
	"fmt"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// resolution decides how a cluster finds its hosts. A router has no original destination, so it balances
// such services by itself: those of Kubernetes have endpoints, others have none.
func (b *clusterBuilder) resolution(svc *model.Service, port *model.ServicePort, cl *ir.Cluster) {
	switch svc.Resolution {
	case model.ResolutionPassthrough:
		if b.c.Type != model.SidecarProxy {
			return
		}
		originalDestination(cl)
		if !svc.Headless && port.TargetPort != port.Port {
			cl.PortOverride = port.TargetPort
		}
	case model.ResolutionDNS:
		cl.Discovery = ir.DiscoveryStrictDNS
	case model.ResolutionDNSRoundRobin:
		cl.Discovery = ir.DiscoveryLogicalDNS
	}
	if svc.Resolution == model.ResolutionDynamicDNS {
		b.dynamic(cl)
	}
	if cl.Discovery.IsDNS() {
		cl.DNS = dynamicDNS(b.c)
		cl.DNS.Refresh = b.r.Mesh().GetDnsRefreshRate().AsDuration()
	}
}

// nearNames lets hosts whose names proxies resolve be ordered by where the proxy is. They stand in the cluster, which
// proxies of one locality share whatever their labels and nodes are.
func (b *clusterBuilder) nearNames(balance block[networking.LoadBalancerSettings], cl *ir.Cluster) {
	policy := &cl.Endpoints.Locality
	if policy.ByPlace() || cl.Endpoints.ByNetwork {
		b.r.Note(factPlace)
	}
	if cl.Discovery == ir.DiscoveryLogicalDNS { // a single host
		cl.LocalityWeighted, cl.Zones = false, nil
	}
	for i, l := range policy.By {
		if !l.Own || model.TellsPlace(l.Name) {
			continue
		}
		policy.By = policy.By[:i]
		field := ".localityLbSetting.failoverPriority"
		if policy.Regions {
			field = ".zoneAwareLbSetting.failoverPriority"
		}
		if balance.object != nil {
			b.report(balance.object.WarningAt(balance.field+field, model.ReasonNotTranslated,
				fmt.Sprintf("the endpoints of %s are resolved by DNS, for which proxies are told apart by where they run only; write %s=VALUE, until then it and those after it do not count", cl.Endpoints.Host, l.Name)))
		}
		return
	}
}

// hidden reports the ServiceEntries that a service stands before.
func (b *clusterBuilder) hidden(svc *model.Service) {
	for _, h := range svc.Hidden {
		message := fmt.Sprintf("%s has the host %s as well and comes first; the ports of this one have no effect", svc.Key, svc.Hostname)
		switch {
		case h.Partly:
			message = fmt.Sprintf("%s has the host %s as well and comes first; ports of this one with a number or name of another have no effect", svc.Key, svc.Hostname)
		case h.Namespace != svc.Namespace:
			message = fmt.Sprintf("%s has the host %s as well and comes first; this one is seen in its own namespace only", svc.Key, svc.Hostname)
		}
		b.report(model.Problem{
			Object: h.Key, Field: "spec.hosts", Severity: model.SeverityWarning, Reason: model.ReasonConflict,
			Message: message, Origin: h.Origin,
		})
	}
}
