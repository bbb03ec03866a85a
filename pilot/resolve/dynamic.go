package resolve

import (
	"fmt"
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Hosts that are resolved as they are asked for: of a ServiceEntry with resolution DYNAMIC_DNS, and, with
// outboundTrafficPolicy ALLOW_ANY_DYNAMIC_DNS, those that nobody knows. A client chooses the name, so what
// follows from it is narrow. The port is that of the service or of the listener, whatever the request
// says, and no name leads to the machine itself or to a port of its proxy.

// dynamicDNS says how such hosts are resolved. It is alike wherever a proxy needs it, and never changes.
func dynamicDNS(c *Class) ir.DNSLookup {
	return ir.DNSLookup{IPv4: c.IPv4 || !c.IPv6, IPv6: c.IPv6}
}

// dynamicForward gives the filters of a connection manager some of whose routes lead to such hosts.
func dynamicForward(r Reader, c *Class, some bool) []placedFilter {
	if !some {
		return nil
	}
	return []placedFilter{
		{phaseDynamic, ir.DynamicTarget{}},
		{phaseDynamic, ir.DynamicForward{DNS: dynamicDNS(c)}},
		{phaseDynamic, upstreamGuard(r, c)},
	}
}

// The ports that proxies and their agents use themselves, of any pod.
const firstOwnPort, lastOwnPort = 15000, model.PrometheusPort

func upstreamGuard(r Reader, c *Class) ir.UpstreamGuard {
	out := ir.UpstreamGuard{Ports: []ir.PortRange{{First: firstOwnPort, Last: lastOwnPort}}}
	for _, p := range []uint32{outboundPort(r), inboundPort(r), httpProxyPort(r, c)} {
		if p != 0 && (p < firstOwnPort || p > lastOwnPort) {
			out.Ports = append(out.Ports, ir.PortRange{First: p, Last: p})
		}
	}
	return out
}

// dynamicPort gives the port of such hosts, 0 for a service of another kind.
func dynamicPort(svc *model.Service, port *model.ServicePort) uint32 {
	if svc == nil || port == nil || svc.Resolution != model.ResolutionDynamicDNS {
		return 0
	}
	return port.TargetPort
}

// sniForward puts before a TCP proxy what finds the host that a handshake names; port 0 is for clusters of
// another kind.
func sniForward(r Reader, c *Class, port uint32, proxy *ir.TCPProxy) []ir.NetworkFilter {
	if port == 0 {
		return terminal(proxy)
	}
	return []ir.NetworkFilter{ir.SNIForward{Port: port, DNS: dynamicDNS(c)}, upstreamGuard(r, c), proxy}
}

// hasDynamic tells whether a class sees services of such hosts.
func (s *scope) hasDynamic(r Reader, c *Class) bool {
	if s.services == nil {
		return r.HasDynamicServices(c.Namespace)
	}
	for _, svc := range s.services {
		if svc.Resolution == model.ResolutionDynamicDNS {
			return true
		}
	}
	return false
}

// dynamic makes a cluster one of such hosts. Nothing is known of them, so that nobody expects the mesh's
// mutual TLS; where a rule wants TLS, certificates are checked for the name that the client asked for.
func (b *clusterBuilder) dynamic(cl *ir.Cluster) {
	cl.Discovery, cl.Balancing, cl.Endpoints = ir.DiscoveryDynamic, ir.BalanceByCluster, nil
	cl.DNS = dynamicDNS(b.c)
	cl.HTTP.AutoSNI, cl.HTTP.AutoSAN = true, true
}

// byName adds the cluster of requests to hosts that nobody knows, where the mesh lets them go to the host
// that they name.
func (b *clusterBuilder) byName() {
	if !meshAllowsByName(b.r) {
		return
	}
	cl := b.passthroughCluster(model.DynamicDNSCluster, nil)
	cl.RemoveHeaders = peerHeaders
	b.dynamic(cl)
	tls := block[networking.ClientTLSSettings]{spec: b.r.Mesh().GetOutboundTrafficPolicy().GetTls()}
	b.applyTLS(tls, &model.Service{External: true}, &model.ServicePort{Protocol: model.ProtocolHTTP}, "", cl)
	b.add(cl)
}

// dynamicTCP gives the port of the lone destination of a tls rule that is one of such hosts, 0 where none is.
// A tcp rule has no name to find one by, and among several the connection would be for one host and sent
// to another.
func (s *ruleSet) dynamicTCP(field string, named bool, targets []target) uint32 {
	at := slices.IndexFunc(targets, func(t target) bool { return dynamicPort(t.service, t.port) != 0 })
	switch {
	case at < 0:
		return 0
	case !named:
		s.invalid(field, fmt.Sprintf("%s has resolution DYNAMIC_DNS, which needs the host of a request or of a TLS handshake; use http or tls, until then the rule is left out", targets[at].service.Hostname))
	case len(targets) > 1:
		s.invalid(field, fmt.Sprintf("%s has resolution DYNAMIC_DNS and is one of several destinations; give it a rule of its own, until then the rule is left out", targets[at].service.Hostname))
	}
	return dynamicPort(targets[0].service, targets[0].port)
}
