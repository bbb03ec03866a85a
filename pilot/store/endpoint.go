package store

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// podEndpoints adds to out what a pod offers to a service. For a ServiceEntry a container's port of the name of its port
// stands before its target, as the ports of a WorkloadEntry do.
func podEndpoints(out []model.Endpoint, svc *model.Service, o *model.Object, network placement) []model.Endpoint {
	pod := o.Spec.(*model.Pod)
	if !serves(pod) {
		return out
	}
	base := workload(o, network)
	base.Address = pod.IP
	base.Health = podHealth(pod, svc.PublishNotReady)
	base.Lost = lost(pod, base.Health)
	return atPorts(out, svc, base, func(p *model.ServicePort) uint32 {
		if p.TargetName != "" {
			return pod.PortNamed(p.TargetName, p.Protocol == model.ProtocolUDP)
		}
		if svc.Key.Kind == model.KindServiceEntry && p.Name != "" {
			return cmp.Or(pod.PortNamed(p.Name, false), p.TargetPort)
		}
		return p.TargetPort
	})
}

// serves tells whether a pod has an address and has not ended.
func serves(pod *model.Pod) bool {
	_, err := netip.ParseAddr(pod.IP)
	return err == nil && !pod.Ended
}

func podHealth(pod *model.Pod, publishNotReady bool) model.Health {
	switch {
	case pod.Deleting && !publishNotReady:
		return model.Draining
	case publishNotReady || pod.Ready:
		return model.Healthy
	}
	return model.Unhealthy
}

// workload gives what all endpoints of a pod have in common.
func workload(o *model.Object, network placement) model.Endpoint {
	pod := o.Spec.(*model.Pod)
	e := model.Endpoint{
		Labels:         o.Labels,
		Locality:       model.LocalityOf(o.Labels),
		Network:        network.of(o.Labels, pod.IP),
		Cluster:        o.Cluster,
		ServiceAccount: pod.ServiceAccount,
		Namespace:      o.Namespace,
		Workload:       pod.Workload,
		Node:           pod.Node,
		Pod:            o.Name,
		TLSMode:        model.TLSModeDisabled,
		LongPeer:       pod.LongPeer,
	}
	if o.Labels[model.LabelTLSMode] == model.TLSModeIstio {
		e.TLSMode = model.TLSModeIstio
	}
	return e
}

// sliceEndpoints adds to out what an EndpointSlice lists for a service. podOf finds the pod
// behind an endpoint, or nil.
func sliceEndpoints(out []model.Endpoint, svc *model.Service, o *model.Object, network placement,
	podOf func(*discoveryv1.Endpoint, string) *model.Object,
) []model.Endpoint {
	slice := o.Spec.(*discoveryv1.EndpointSlice)
	if slice.AddressType == discoveryv1.AddressTypeFQDN {
		return out
	}
	for i := range slice.Endpoints {
		ep := &slice.Endpoints[i]
		for _, address := range ep.Addresses {
			if _, err := netip.ParseAddr(address); err != nil {
				continue
			}
			address = model.CanonicalIP(address)
			e := model.Endpoint{Namespace: svc.Namespace, Network: network.of(nil, address), Cluster: svc.Key.Cluster, TLSMode: model.TLSModeDisabled}
			pod := podOf(ep, address)
			if pod != nil {
				e = workload(pod, network)
			}
			if e.Node == "" && ep.NodeName != nil {
				e.Node = *ep.NodeName
			}
			e.Address = address
			e.Health = sliceHealth(&ep.Conditions, svc.PublishNotReady)
			e.Lost = pod != nil && lostInSlice(pod.Spec.(*model.Pod), o, e.Health)
			if e.Locality == (model.Locality{}) && ep.Zone != nil {
				e.Locality.Zone = *ep.Zone
			}
			for j := range slice.Ports {
				p := &slice.Ports[j]
				if p.Port == nil || *p.Port <= 0 || *p.Port > 65535 {
					continue
				}
				name := ""
				if p.Name != nil {
					name = *p.Name
				}
				if hasPort(svc, name) {
					e.Port, e.ServicePort = uint32(*p.Port), name
					out = append(out, e)
				}
			}
		}
	}
	return out
}

func hasPort(svc *model.Service, name string) bool {
	return slices.ContainsFunc(svc.Ports, func(p model.ServicePort) bool { return p.Name == name })
}

// sliceHealth reads an endpoint's conditions; an unset one counts as Kubernetes documents it.
func sliceHealth(c *discoveryv1.EndpointConditions, publishNotReady bool) model.Health {
	switch {
	case publishNotReady:
		return model.Healthy
	case c.Terminating != nil && *c.Terminating:
		return model.Draining
	case c.Ready == nil || *c.Ready:
		return model.Healthy
	}
	return model.Unhealthy
}

// sortEndpoints sorts by service port, address and port, and leaves one of each such triple: slices may name an endpoint
// twice while it moves between them. Of a ServiceEntry several may have an address, each with labels of its own; they stay
// in the order in which they are listed.
func sortEndpoints(eps []model.Endpoint) []model.Endpoint {
	slices.SortStableFunc(eps, func(a, b model.Endpoint) int {
		return cmp.Or(compareEndpoints(a, b), cmp.Compare(a.Health, b.Health), cmp.Compare(a.Pod, b.Pod))
	})
	return slices.CompactFunc(eps, func(a, b model.Endpoint) bool {
		return compareEndpoints(a, b) == 0 && (!a.Listed && !a.Entry || a.Workload == b.Workload && a.Pod == b.Pod)
	})
}

func compareEndpoints(a, b model.Endpoint) int {
	return cmp.Or(cmp.Compare(a.ServicePort, b.ServicePort), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port),
		cmp.Compare(a.Cluster, b.Cluster), compareUnreached(&a, &b))
}

// sameEndpoint tells whether two endpoints have the same value.
func sameEndpoint(a, b model.Endpoint) bool {
	if !maps.Equal(a.Labels, b.Labels) {
		return false
	}
	return a.Address == b.Address && a.Port == b.Port && a.ServicePort == b.ServicePort &&
		a.Locality == b.Locality && a.Network == b.Network && a.ServiceAccount == b.ServiceAccount &&
		a.Namespace == b.Namespace && a.Workload == b.Workload && a.Pod == b.Pod &&
		a.Node == b.Node && a.Entry == b.Entry && a.TLSMode == b.TLSMode && a.Cluster == b.Cluster && a.Listed == b.Listed && a.Weight == b.Weight && a.Health == b.Health && a.Lost == b.Lost && a.LongPeer == b.LongPeer
}
