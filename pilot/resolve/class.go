package resolve

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	typev1beta1 "istio.io/api/type/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
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
	Interception string // REDIRECT, TPROXY or NONE
	DNSCapture   bool
	HTTP10       bool // takes requests of HTTP/1.0, for itself or as all proxies
	// HTTPProxyPort is where it takes requests as an HTTP proxy, in the place of the mesh's port; 0 for there.
	HTTPProxyPort uint32
	IPv4, IPv6    bool // the families of the proxy's addresses
	Locality      model.Locality
	// Network is where it is among several networks; the zero value where there is one.
	Network Network
	// Node is that of the proxy, "" where no service that it sees asks for it.
	Node string
	// FailoverLabels are the proxy's labels that some failover priority compares with those of endpoints.
	FailoverLabels []ir.FailoverLabel

	// NamesFrom is the locality and the network once more, where names that proxies resolve are ordered or replaced by
	// them: those stand in clusters, not in load assignments.
	NamesFrom Position

	// Inbound are the ports of services that select the pod, sorted by target port, then service.
	Inbound []InboundPort
	// Sidecar is the Sidecar object in force; the zero key for none and for gateways.
	Sidecar model.Key
	// PeerAuthentications of the namespace whose selector matches, model.Older first.
	PeerAuthentications []model.Key
	// AuthorizationPolicies for some workloads that mean this one, of the root namespace and of its own, each
	// model.Older first.
	AuthorizationPolicies []model.Key
	// RequestAuthentications of the same kind.
	RequestAuthentications []model.Key
	// OutboundTokens are the same RequestAuthentications where what a sidecar's workload sends is routed by
	// claims of tokens.
	OutboundTokens []model.Key
	// DestinationRules of the namespace whose workloadSelector matches, model.Older first.
	DestinationRules []model.Key
	// Telemetry is the Telemetry object of the namespace that is for the workload alone; the zero key for none.
	Telemetry model.Key
	// SourceLabels are those label sets of VirtualServices' sourceLabels that hold, sorted.
	SourceLabels []string
	// Patches are those of EnvoyFilters with conditions that hold; those of the root namespace first.
	Patches []ClassPatches
	// Gateways are the Gateway objects that select a router, model.Older first.
	Gateways []model.Key
	// UDPPorts are those of the Services of a router, sorted.
	UDPPorts []UDPPort
	// Unprivileged tells that the proxy cannot listen on ports below 1024.
	Unprivileged bool
	// PassesMesh tells that one of them passes on the mesh's mutual TLS (AUTO_PASSTHROUGH).
	PassesMesh bool
	// Settings of the control plane, as far as they concern the proxy.
	Settings Settings
	// Secrets tells that the proxy may have Secrets of its namespace, and of a sidecar that a DestinationRule for it
	// names some.
	Secrets bool
	// Topology is what a router stands behind.
	Topology model.Topology
	// Connections is how the proxy takes connections.
	Connections model.Connections
	// Headers is what the proxy does with headers of its own.
	Headers model.ProxyHeaders
	// LongPeer tells that the proxy's agent knows the long form only in which proxies say who they are.
	LongPeer bool
	// LogService tells that the proxy sends access logs to the service that its own configuration names.
	LogService bool
	// AsksForBootstrap tells that the proxy's agent asks what EnvoyFilters put over Envoy's bootstrap.
	AsksForBootstrap bool
}

// UDPPort is a port of UDP of a Service, with the workload's port to which it leads.
type UDPPort struct{ Port, TargetPort uint32 }

// InboundPort is one port of a service on the proxy's own workload.
type InboundPort struct {
	Service    model.Key
	Host       string
	Port       uint32 // the service's
	Name       string // the service port's
	Protocol   model.Protocol
	TargetPort uint32 // the container's
	// Untranslated tells that servers of Gateways name the container's port, never the service's.
	Untranslated bool
}

// Classify finds the class of a proxy, as the workload that WorkloadOf says it is.
func Classify(r Reader, p *model.Proxy) Class { return WorkloadOf(r, p).Class(r, p) }

// Class is the class of the workload's proxy.
func (w Workload) Class(r Reader, p *model.Proxy) Class {
	cluster, pod, labels := w.cluster, w.Pod, w.Labels
	c := Class{
		Type: p.Type, Namespace: p.Namespace, DNSDomain: p.DNSDomain, ClusterID: p.ClusterID,
		Interception: p.Interception, DNSCapture: p.DNSCapture, HTTP10: p.HTTP10, Unprivileged: p.Unprivileged, Locality: p.Locality, LongPeer: p.LongPeer,
	}
	c.IPv4, c.IPv6 = families(p.IPs)
	if c.Locality == (model.Locality{}) {
		c.Locality = model.LocalityOf(labels)
	}
	var byNode bool
	c.FailoverLabels, byNode = failoverValues(r, p, w)
	if byNode || r.HasServicesByNode(p.Namespace) {
		if c.Node = p.Node; pod != nil {
			c.Node = cmp.Or(pod.Spec.(*model.Pod).Node, p.Node)
		}
	}
	c.Network = w.place(r, p)
	c.NamesFrom.Network = c.Network
	if r.HasLocatedNames(p.Namespace) {
		c.NamesFrom.Locality = c.Locality
	}
	var udp []UDPPort
	c.Inbound, udp = inboundPorts(r, p, cluster, pod, labels)
	if p.Type == model.RouterProxy {
		c.Gateways, c.Secrets = selectedGateways(r, labels), p.Secrets
		c.PassesMesh = slices.ContainsFunc(c.Gateways, func(k model.Key) bool {
			o := r.Object(k)
			return o != nil && passesMesh(o)
		})
		c.UDPPorts = udp
		c.Topology = topology(r, p)
	} else {
		c.HTTPProxyPort = p.HTTPProxyPort
		c.Sidecar = selectedSidecar(r, p.Namespace, labels)
	}
	for _, set := range r.SourceLabels(p.Namespace) {
		if model.HasLabelSet(labels, set) {
			c.SourceLabels = append(c.SourceLabels, set)
		}
	}
	c.Telemetry = workloadTelemetry(r, p, labels)
	c.PeerAuthentications = workloadPeerAuthentications(r, p.Namespace, labels)
	c.AuthorizationPolicies = policiesFor(r, r.WorkloadAuthorizationPolicies, p, labels)
	c.RequestAuthentications = policiesFor(r, r.WorkloadRequestAuthentications, p, labels)
	c.OutboundTokens = outboundTokenPolicies(r, p, c.RequestAuthentications)
	for _, o := range r.WorkloadDestinationRules(p.Namespace) {
		if dr := o.Spec.(*networking.DestinationRule); model.Selects(dr.GetWorkloadSelector().GetMatchLabels(), labels) {
			c.DestinationRules = append(c.DestinationRules, o.Key)
			c.Secrets = c.Secrets || p.Secrets && len(model.DestinationSecrets(dr)) > 0
		}
	}
	c.Patches = workloadPatches(r, p, labels)
	c.Connections, c.Headers = connections(r, p), proxyHeaders(r, p)
	c.LogService = p.LogService && r.Mesh().GetEnableEnvoyAccessLogService()
	c.AsksForBootstrap = p.AsksForBootstrap
	c.Key = c.hash()
	return c
}

// families tells of which IP families some addresses are.
func families(ips []string) (ipv4, ipv6 bool) {
	for _, ip := range ips {
		if a, err := netip.ParseAddr(ip); err == nil {
			ipv4 = ipv4 || a.Unmap().Is4()
			ipv6 = ipv6 || !a.Unmap().Is4()
		}
	}
	return ipv4, ipv6
}

// opens tells whether the proxy can listen on a port itself.
func (c *Class) opens(port uint32) bool { return !c.Unprivileged || port >= 1024 }

// tooLow says that the proxy cannot listen on a port.
func tooLow(port uint32) string {
	return fmt.Sprintf("the proxy may not listen on port %d, as it says (UNPRIVILEGED_POD); choose one from 1024 on", port)
}

// FailoverLabel gives the proxy's value of a label that failover priorities compare, "" for none.
func (c *Class) FailoverLabel(name string) string {
	for _, l := range c.FailoverLabels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// hasSourceLabels tells whether a set of labels that VirtualServices ask for holds.
func (c *Class) hasSourceLabels(set string) bool {
	_, found := slices.BinarySearch(c.SourceLabels, set)
	return found
}

// inboundPorts lists what the workload serves, and the ports of UDP by which clients reach it, sorted. A named target port
// is looked up in the pod, else among the service's endpoints with its address.
func inboundPorts(r Reader, p *model.Proxy, cluster string, pod *model.Object, labels map[string]string) (out []InboundPort, udp []UDPPort) {
	for _, svc := range r.ServicesSelecting(cluster, p.Namespace, labels) {
		for _, port := range svc.Ports {
			target := port.TargetPort
			if target == 0 {
				target = namedTarget(r, p, pod, svc, port)
			}
			if target == 0 {
				continue
			}
			if port.Protocol == model.ProtocolUDP {
				udp = append(udp, UDPPort{port.Port, target})
				continue
			}
			out = append(out, InboundPort{
				Service: svc.Key, Host: svc.Hostname, Port: port.Port, Name: port.Name,
				Protocol: port.Protocol, TargetPort: target, Untranslated: p.Type == model.RouterProxy && untranslated(svc),
			})
		}
	}
	slices.SortStableFunc(out, func(a, b InboundPort) int {
		return cmp.Or(cmp.Compare(a.TargetPort, b.TargetPort), strings.Compare(a.Host, b.Host))
	})
	slices.SortFunc(udp, func(a, b UDPPort) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.TargetPort, b.TargetPort))
	})
	return out, slices.Compact(udp)
}

// untranslated tells whether a service opts out of standing for its target ports at Gateways, as Knative's does.
func untranslated(svc *model.Service) bool {
	_, ok := svc.Labels["experimental.istio.io/disable-gateway-port-translation"]
	return ok
}

// topology is what a router says itself, else what the mesh says of all.
func topology(r Reader, p *model.Proxy) model.Topology {
	if p.Topology != nil {
		return *p.Topology
	}
	t := r.Mesh().GetDefaultConfig().GetGatewayTopology()
	out := model.Topology{TrustedProxies: t.GetNumTrustedProxies(), ProxyProtocol: t.GetProxyProtocol() != nil}
	if d := t.GetForwardClientCertDetails(); d != meshconfig.ForwardClientCertDetails_UNDEFINED {
		out.ClientCert = d.String()
	}
	return out
}

func selectedGateways(r Reader, labels map[string]string) []model.Key {
	var out []model.Key
	for _, o := range r.Gateways() {
		if model.HasLabels(labels, o.Spec.(*networking.Gateway).GetSelector()) {
			out = append(out, o.Key)
		}
	}
	return out
}

// selectedSidecar finds the object in force: by selector, then the namespace's default, then the
// root namespace's default, each oldest first.
func selectedSidecar(r Reader, namespace string, labels map[string]string) model.Key {
	for _, o := range r.Sidecars(namespace) {
		if s := o.Spec.(*networking.Sidecar).GetWorkloadSelector(); s != nil && model.HasLabels(labels, s.GetLabels()) {
			return o.Key
		}
	}
	for _, ns := range []string{namespace, rootNamespace(r)} {
		for _, o := range r.Sidecars(ns) {
			if o.Spec.(*networking.Sidecar).GetWorkloadSelector() == nil {
				return o.Key
			}
		}
	}
	return model.Key{}
}

// workloadPeerAuthentications gives those with a selector that matches. In the root namespace a
// selector has no effect.
func workloadPeerAuthentications(r Reader, namespace string, labels map[string]string) []model.Key {
	if namespace == rootNamespace(r) {
		return nil
	}
	var out []model.Key
	for _, o := range r.PeerAuthentications(namespace) {
		if selects(o.Spec.(*security.PeerAuthentication).GetSelector(), labels) {
			out = append(out, o.Key)
		}
	}
	return out
}

func selects(s *typev1beta1.WorkloadSelector, labels map[string]string) bool {
	return model.Selects(s.GetMatchLabels(), labels)
}

func rootNamespace(r Reader) string {
	return cmp.Or(r.Mesh().GetRootNamespace(), model.RootNamespace)
}

// namedTarget finds the container port that a service's named target stands for, or 0.
func namedTarget(r Reader, p *model.Proxy, pod *model.Object, svc *model.Service, port model.ServicePort) uint32 {
	addresses := p.IPs
	if pod != nil {
		spec := pod.Spec.(*model.Pod)
		if n := spec.PortNamed(port.TargetName, false); n != 0 {
			return n
		}
		if spec.IP != "" {
			addresses = []string{spec.IP}
		}
	}
	for _, ep := range r.Endpoints(svc.ID()) {
		if ep.ServicePort == port.Name && slices.Contains(addresses, ep.Address) {
			return ep.Port
		}
	}
	return 0
}
