package resolve

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	typev1beta1 "istio.io/api/type/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Class is what about a proxy can change its configuration, by outcome: which selecting objects
// match it, never its name, address or labels. Proxies of one class get the same resources.
// It holds keys only, so it outlives the snapshot that it was computed from.
type Class struct {
	// Key is a hash of all other fields; equal classes have equal keys.
	Key string

	Type         model.ProxyType
	Namespace    string
	DNSDomain    string
	ClusterID    string
	Network      string
	Interception string // REDIRECT, TPROXY or NONE
	DNSCapture   bool
	IPv4, IPv6   bool // the families of the proxy's addresses
	Locality     model.Locality

	// Inbound are the ports of services that select the pod, sorted by target port, then service.
	Inbound []InboundPort
	// Sidecar is the Sidecar object in force; the zero key for none and for gateways.
	Sidecar model.Key
	// PeerAuthentications of the namespace whose selector matches, model.Older first.
	PeerAuthentications []model.Key
	// DestinationRules of the namespace whose workloadSelector matches, model.Older first.
	DestinationRules []model.Key
	// SourceLabels are those label sets of VirtualServices' sourceLabels that hold, sorted.
	SourceLabels []string
	// Gateways are the Gateway objects that select a router, model.Older first.
	Gateways []model.Key
}

// InboundPort is one port of a service on the proxy's own workload.
type InboundPort struct {
	Service    model.Key
	Host       string
	Port       uint32 // the service's
	Name       string // the service port's
	Protocol   model.Protocol
	TargetPort uint32 // the container's
}

// Classify finds the class of a proxy. The labels of its Pod object count; a proxy without one
// is known by its node metadata.
func Classify(r Reader, p *model.Proxy) Class {
	labels := p.Labels
	if pod := r.Pod(p.Namespace, p.Name); pod != nil {
		labels = pod.Labels
	}
	c := Class{
		Type: p.Type, Namespace: p.Namespace, DNSDomain: p.DNSDomain, ClusterID: p.ClusterID,
		Network: p.Network, Interception: p.Interception, DNSCapture: p.DNSCapture, Locality: p.Locality,
	}
	for _, ip := range p.IPs {
		if a, err := netip.ParseAddr(ip); err == nil {
			c.IPv4 = c.IPv4 || a.Unmap().Is4()
			c.IPv6 = c.IPv6 || !a.Unmap().Is4()
		}
	}
	c.Inbound = inboundPorts(r, p, labels)
	if p.Type == model.RouterProxy {
		c.Gateways = selectedGateways(r, labels)
	} else {
		c.Sidecar = selectedSidecar(r, p.Namespace, labels)
		c.SourceLabels = sourceLabels(r, p.Namespace, labels)
	}
	c.PeerAuthentications = workloadPeerAuthentications(r, p.Namespace, labels)
	for _, o := range r.WorkloadDestinationRules(p.Namespace) {
		if dr, ok := o.Spec.(*networking.DestinationRule); ok && matches(dr.GetWorkloadSelector().GetMatchLabels(), labels) {
			c.DestinationRules = append(c.DestinationRules, o.Key)
		}
	}
	c.Key = c.hash()
	return c
}

// HasSourceLabels tells whether the proxy's workload carries all the labels of a VirtualService
// match that applies to the class; none asked is true.
func (c *Class) HasSourceLabels(want map[string]string) bool {
	if len(want) == 0 {
		return true
	}
	_, found := slices.BinarySearch(c.SourceLabels, labelSet(want))
	return found
}

// inboundPorts lists what the workload serves. A named target port is looked up in the pod,
// else among the service's endpoints with the proxy's address.
func inboundPorts(r Reader, p *model.Proxy, labels map[string]string) []InboundPort {
	var out []InboundPort
	for _, svc := range r.ServicesSelecting(p.Namespace, labels) {
		for _, port := range svc.Ports {
			if port.Protocol == model.ProtocolUDP {
				continue
			}
			target := port.TargetPort
			if target == 0 {
				target = namedTarget(r, p, svc, port)
			}
			if target == 0 {
				continue
			}
			out = append(out, InboundPort{
				Service: svc.Key, Host: svc.Hostname, Port: port.Port, Name: port.Name,
				Protocol: port.Protocol, TargetPort: target,
			})
		}
	}
	slices.SortStableFunc(out, func(a, b InboundPort) int {
		if a.TargetPort != b.TargetPort {
			return int(a.TargetPort) - int(b.TargetPort)
		}
		return strings.Compare(a.Host, b.Host)
	})
	return out
}

func selectedGateways(r Reader, labels map[string]string) []model.Key {
	var out []model.Key
	for _, o := range r.Gateways() {
		if gw, ok := o.Spec.(*networking.Gateway); ok && subset(gw.GetSelector(), labels) {
			out = append(out, o.Key)
		}
	}
	return out
}

// selectedSidecar finds the object in force: by selector, then the namespace's default, then the
// root namespace's default, each oldest first.
func selectedSidecar(r Reader, namespace string, labels map[string]string) model.Key {
	var byDefault model.Key
	for _, o := range r.Sidecars(namespace) {
		sc, ok := o.Spec.(*networking.Sidecar)
		switch {
		case !ok:
		case sc.GetWorkloadSelector() == nil:
			if byDefault == (model.Key{}) {
				byDefault = o.Key
			}
		case subset(sc.GetWorkloadSelector().GetLabels(), labels):
			return o.Key
		}
	}
	root := rootNamespace(r)
	if byDefault != (model.Key{}) || namespace == root {
		return byDefault
	}
	for _, o := range r.Sidecars(root) {
		if sc, ok := o.Spec.(*networking.Sidecar); ok && sc.GetWorkloadSelector() == nil {
			return o.Key
		}
	}
	return model.Key{}
}

// sourceLabels lists the distinct sourceLabels of matches in visible VirtualServices that hold.
func sourceLabels(r Reader, namespace string, labels map[string]string) []string {
	held := map[string]struct{}{}
	add := func(want map[string]string) {
		if len(want) > 0 && subset(want, labels) {
			held[labelSet(want)] = struct{}{}
		}
	}
	for _, o := range r.VirtualServices(namespace) {
		vs, ok := o.Spec.(*networking.VirtualService)
		if !ok {
			continue
		}
		for _, h := range vs.GetHttp() {
			for _, m := range h.GetMatch() {
				add(m.GetSourceLabels())
			}
		}
		for _, t := range vs.GetTcp() {
			for _, m := range t.GetMatch() {
				add(m.GetSourceLabels())
			}
		}
		for _, t := range vs.GetTls() {
			for _, m := range t.GetMatch() {
				add(m.GetSourceLabels())
			}
		}
	}
	return slices.Sorted(maps.Keys(held))
}

// workloadPeerAuthentications gives those with a selector that matches. In the root namespace a
// selector has no effect.
func workloadPeerAuthentications(r Reader, namespace string, labels map[string]string) []model.Key {
	if namespace == rootNamespace(r) {
		return nil
	}
	var out []model.Key
	for _, o := range r.PeerAuthentications(namespace) {
		pa, ok := o.Spec.(*security.PeerAuthentication)
		if ok && selects(pa.GetSelector(), labels) {
			out = append(out, o.Key)
		}
	}
	return out
}

func selects(s *typev1beta1.WorkloadSelector, labels map[string]string) bool {
	return matches(s.GetMatchLabels(), labels)
}

// matches is subset for selectors of which an empty one selects no particular workload.
func matches(selector, labels map[string]string) bool {
	return len(selector) > 0 && subset(selector, labels)
}

// subset tells whether labels has every pair of want.
func subset(want, labels map[string]string) bool {
	for k, v := range want {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// labelSet is a canonical form of a set of labels; keys and values hold neither "=" nor ",".
func labelSet(m map[string]string) string {
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(k + "=" + m[k])
	}
	return b.String()
}

func rootNamespace(r Reader) string {
	if ns := r.Mesh().GetRootNamespace(); ns != "" {
		return ns
	}
	return model.RootNamespace
}

// namedTarget finds the container port that a service's named target stands for, or 0.
func namedTarget(r Reader, p *model.Proxy, svc *model.Service, port model.ServicePort) uint32 {
	if o := r.Pod(p.Namespace, p.Name); o != nil {
		if pod, ok := o.Spec.(*corev1.Pod); ok {
			for _, ct := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
				for _, cp := range ct.Ports {
					if cp.Name == port.TargetName && cp.ContainerPort > 0 && cp.Protocol != corev1.ProtocolUDP {
						return uint32(cp.ContainerPort)
					}
				}
			}
		}
	}
	for _, ep := range r.Endpoints(svc.Key) {
		if ep.ServicePort == port.Name && slices.Contains(p.IPs, ep.Address) {
			return ep.Port
		}
	}
	return 0
}
