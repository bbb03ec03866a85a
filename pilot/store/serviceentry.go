package store

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// newEntryServices gives the services of a ServiceEntry, one for each of its hosts. exportTo says who may see them,
// inNamespace is the trafficDistribution of its namespace, and allocated gives the addresses of a host that has none of its own.
func newEntryServices(o *model.Object, exportTo []string, inNamespace string, allocated func(host string) []string) []*model.Service {
	entry := o.Spec.(*networking.ServiceEntry)
	ports, addresses := entryPorts(entry), entryAddresses(entry)
	names := slices.Clone(entry.GetSubjectAltNames())
	slices.Sort(names)
	var out []*model.Service
	for _, host := range entryHosts(entry) {
		svc := &model.Service{
			Key: o.Key, Created: o.Created, Hostname: host, Namespace: o.Namespace, Name: host,
			Addresses: addresses, Ports: ports, Resolution: resolutions[entry.GetResolution()],
			Selector: entry.GetWorkloadSelector().GetLabels(), ExportTo: exportTo, Labels: o.Labels,
			SubjectAltNames: names, External: entry.GetLocation() == networking.ServiceEntry_MESH_EXTERNAL, Origin: o.Origin,
			TrafficDistribution: distribution(nil, o.Annotations, inNamespace), Located: located(entry),
		}
		if allocates(o) && !strings.HasPrefix(host, "*") {
			svc.Allocated = allocated(host)
		}
		out = append(out, svc)
	}
	return out
}

// located tells whether proxies resolve the names of endpoints that may say where they are.
func located(entry *networking.ServiceEntry) bool {
	if r := entry.GetResolution(); r != networking.ServiceEntry_DNS && r != networking.ServiceEntry_DNS_ROUND_ROBIN {
		return false
	}
	says := func(we *networking.WorkloadEntry) bool {
		return we.GetLocality() != "" || model.LocalityOf(we.GetLabels()) != (model.Locality{}) ||
			we.GetNetwork() != "" || we.GetLabels()[model.LabelNetwork] != ""
	}
	return entry.GetWorkloadSelector() != nil || slices.ContainsFunc(entry.GetEndpoints(), says)
}

// entryHosts gives the hosts of a ServiceEntry in the form in which names are compared, each once.
func entryHosts(entry *networking.ServiceEntry) []string {
	out := newStringSet(nil)
	for _, host := range entry.GetHosts() {
		out.add(model.CanonicalHost(host))
	}
	return out.list
}

// resolutions are those of ServiceEntries; the others have endpoints that the control plane sends.
var resolutions = map[networking.ServiceEntry_Resolution]model.Resolution{
	networking.ServiceEntry_NONE:            model.ResolutionPassthrough,
	networking.ServiceEntry_DNS:             model.ResolutionDNS,
	networking.ServiceEntry_DNS_ROUND_ROBIN: model.ResolutionDNSRoundRobin,
	networking.ServiceEntry_DYNAMIC_DNS:     model.ResolutionDynamicDNS,
}

func entryPorts(entry *networking.ServiceEntry) []model.ServicePort {
	var out []model.ServicePort
	for _, p := range entry.GetPorts() {
		target := p.GetTargetPort()
		if target == 0 {
			target = p.GetNumber()
		}
		out = append(out, model.ServicePort{
			Name: p.GetName(), Port: p.GetNumber(), Protocol: entryProtocol(p.GetProtocol()), TargetPort: target,
		})
	}
	return out
}

// entryProtocol reads the protocol of a ServiceEntry's port, which is the whole name, in any case.
func entryProtocol(name string) model.Protocol {
	if strings.Contains(name, "-") && !strings.EqualFold(name, "grpc-web") {
		return model.ProtocolAuto
	}
	protocol, _ := protocolByName(strings.ToLower(name))
	return protocol
}

// entryAddresses gives IPs and subnets, each once, in the order in which they stand. A subnet of one
// address is the address.
func entryAddresses(entry *networking.ServiceEntry) []string {
	out := newStringSet(nil)
	for _, text := range entry.GetAddresses() {
		p, err := model.ParseAddressBlock(text)
		if err != nil || p.IsSingleIP() && p.Addr().IsUnspecified() {
			continue
		}
		if text = p.String(); p.IsSingleIP() {
			text = p.Addr().String()
		}
		out.add(text)
	}
	return out.list
}

// inlineEndpoints gives the endpoints that a ServiceEntry lists, for one of its services. One that is
// resolved by DNS and lists none has its own host.
func inlineEndpoints(svc *model.Service, o *model.Object) []model.Endpoint {
	entry := o.Spec.(*networking.ServiceEntry)
	if entry.GetWorkloadSelector() != nil {
		return nil
	}
	byName := svc.Resolution == model.ResolutionDNS || svc.Resolution == model.ResolutionDNSRoundRobin
	if len(entry.GetEndpoints()) == 0 && byName && !strings.HasPrefix(svc.Hostname, "*") {
		host := model.Endpoint{
			Address: svc.Hostname, Namespace: o.Namespace, Workload: o.Name, TLSMode: model.TLSModeDisabled,
			Listed: true,
		}
		return atPorts(nil, svc, host, func(p *model.ServicePort) uint32 { return p.TargetPort })
	}
	var out []model.Endpoint
	for i, we := range entry.GetEndpoints() {
		base := entryWorkload(we, we.GetLabels())
		base.Namespace, base.Workload, base.Listed = o.Namespace, o.Name+"-"+strconv.Itoa(i), true
		out = entryEndpoints(out, svc, we, base)
	}
	return out
}

// workloadEntryEndpoints adds to out what a WorkloadEntry offers to a service that selects it.
func workloadEntryEndpoints(out []model.Endpoint, svc *model.Service, o *model.Object) []model.Endpoint {
	we := o.Spec.(*networking.WorkloadEntry)
	base := entryWorkload(we, o.Labels)
	base.Namespace, base.Cluster, base.Pod, base.Entry = o.Namespace, o.Cluster, o.Name, true
	base.Workload, base.LongPeer = entryWorkloadName(o), base.LongPeer && !saysShort(o)
	if !entryHealthy(o) { // also where a Service publishes pods that are not ready
		base.Health = model.Unhealthy
	}
	return entryEndpoints(out, svc, we, base)
}

// entryWorkload gives what all endpoints of a WorkloadEntry have in common. One with an identity speaks
// the mesh's mutual TLS unless its label says otherwise. One that names no network is reached from all.
func entryWorkload(we *networking.WorkloadEntry, labels map[string]string) model.Endpoint {
	e := model.Endpoint{
		Address: model.CanonicalIP(we.GetAddress()), Labels: labels, Network: cmp.Or(we.GetNetwork(), labels[model.LabelNetwork]), ServiceAccount: we.GetServiceAccount(),
		Locality: model.LocalityOf(labels), TLSMode: model.TLSModeDisabled, Weight: we.GetWeight(),
	}
	if we.GetLocality() != "" {
		parts := append(strings.SplitN(we.GetLocality(), "/", 3), "", "")
		e.Locality = model.Locality{Region: parts[0], Zone: parts[1], SubZone: parts[2]}
	}
	mode, said := labels[model.LabelTLSMode]
	if mode == model.TLSModeIstio || !said && we.GetServiceAccount() != "" {
		e.TLSMode, e.LongPeer = model.TLSModeIstio, true
	}
	return e
}

// entryEndpoints adds an endpoint for each port of a service. A named target is one of the entry's names. Else the port is
// that which the entry has for the service port's name, or the service's target.
func entryEndpoints(out []model.Endpoint, svc *model.Service, we *networking.WorkloadEntry, base model.Endpoint) []model.Endpoint {
	if !resolvable(svc, &base) {
		return out
	}
	if path, unix := strings.CutPrefix(base.Address, model.UnixScheme); unix {
		base.Address = path
		for i := range svc.Ports {
			e := base
			e.ServicePort = svc.Ports[i].Name
			out = append(out, e)
		}
		return out
	}
	return atPorts(out, svc, base, func(p *model.ServicePort) uint32 {
		if p.TargetName != "" {
			return we.GetPorts()[p.TargetName]
		}
		return cmp.Or(we.GetPorts()[p.Name], p.TargetPort)
	})
}

// atPorts adds an endpoint for each port of a service that has a target.
func atPorts(out []model.Endpoint, svc *model.Service, base model.Endpoint, target func(*model.ServicePort) uint32) []model.Endpoint {
	for i := range svc.Ports {
		e := base
		e.Port, e.ServicePort = target(&svc.Ports[i]), svc.Ports[i].Name
		if e.Port != 0 {
			out = append(out, e)
		}
	}
	return out
}

// resolvable tells whether proxies can make use of an address for a service: Kubernetes knows IPs only,
// names need DNS, and sockets are of a ServiceEntry whose endpoints are static. One without an address is reached by
// the gateways of its network.
func resolvable(svc *model.Service, e *model.Endpoint) bool {
	switch model.KindOfAddress(e.Address) {
	case model.AddressNone:
		return e.Network != ""
	case model.AddressIP:
		return true
	case model.AddressUnix:
		return svc.Key.Kind == model.KindServiceEntry && svc.Resolution == model.ResolutionEDS
	case model.AddressName:
		return svc.Resolution == model.ResolutionDNS || svc.Resolution == model.ResolutionDNSRoundRobin
	}
	return false
}
