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
		cl.DNS = ir.DNSLookup{IPv4: b.c.IPv4 || !b.c.IPv6, IPv6: b.c.IPv6}
		if d, ok := duration(b.r.Mesh().GetDnsRefreshRate()); ok {
			cl.DNS.Refresh = d
		}
	}
}

// anywhere takes hosts that proxies resolve as they come. Their names stand in the cluster, which all
// proxies of a namespace share wherever they are.
func (b *clusterBuilder) anywhere(balance block[networking.LoadBalancerSettings], cl *ir.Cluster) {
	cl.Endpoints.Locality, cl.LocalityWeighted, cl.Zones = ir.LocalityPolicy{}, false, nil
	setting, zones := balance.spec.GetLocalityLbSetting(), balance.spec.GetZoneAwareLbSetting()
	field := ".localityLbSetting"
	if zones != nil && !off(zones.GetEnabled()) {
		field = ".zoneAwareLbSetting"
	} else if setting == nil || off(setting.GetEnabled()) {
		return
	}
	b.report(balance.object.WarningAt(balance.field+field, model.ReasonNotTranslated,
		fmt.Sprintf("the endpoints of %s are resolved by DNS, for which localities are not translated; all are used alike", cl.Endpoints.Host)))
}

// hidden reports the ServiceEntries that a service stands before.
func (b *clusterBuilder) hidden(svc *model.Service) {
	for _, h := range svc.Hidden {
		message := fmt.Sprintf("%s has the host %s as well and comes first; the ports of this one have no effect", svc.Key, svc.Hostname)
		if h.Namespace != svc.Namespace {
			message = fmt.Sprintf("%s has the host %s as well and comes first; this one is seen in its own namespace only", svc.Key, svc.Hostname)
		}
		b.report(model.Problem{
			Object: h.Key, Field: "spec.hosts", Severity: model.SeverityWarning, Reason: model.ReasonConflict,
			Message: message, Origin: h.Origin,
		})
	}
}
