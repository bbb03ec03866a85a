package resolve

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// A server with mode AUTO_PASSTHROUGH passes on the mutual TLS of sidecars, unopened, to the service that the
// name in the handshake stands for: outbound_.PORT_.SUBSET_.HOST, which is also the name of the cluster.

// istioALPN is what clients of the mesh offer; what offers nothing of it is not theirs.
var istioALPN = []string{"istio-peer-exchange", "istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"}

// passesMesh tells whether a Gateway has such a server.
func passesMesh(o *model.Object) bool {
	return slices.ContainsFunc(o.Spec.(*networking.Gateway).GetServers(), func(s *networking.Server) bool {
		serves, ok := serviceOf(s)
		return ok && serves == autoPasses
	})
}

// passed gives the chains of such a server: one for each port of each service that it has a host of, and
// one for each subset.
func (b *gatewayBuilder) passed(s *gatewayServer) []*ir.FilterChain {
	var out []*ir.FilterChain
	for _, svc := range b.r.Services(b.c.Namespace) {
		if svc.External || !s.offers(svc) {
			continue
		}
		rule := ruleFor(b.r, b.c, svc) // the clusters report what is wrong with it
		subsets := []string{""}
		if rule != nil {
			for _, subset := range rule.subsets {
				subsets = append(subsets, subset.name)
			}
		}
		for _, port := range svc.Ports {
			if port.Protocol == model.ProtocolUDP {
				continue
			}
			for _, subset := range subsets {
				if chain := b.passedTo(s, model.DNSSNIName(port.Port, subset, svc.Hostname)); chain != nil {
					out = append(out, chain)
				}
			}
		}
	}
	return out
}

// passedTo gives the chain for a name, nil where it is taken, or longer than clients say it.
func (b *gatewayBuilder) passedTo(s *gatewayServer, name string) *ir.FilterChain {
	chain := &ir.FilterChain{
		Match:   ir.ChainMatch{ServerNames: []string{strings.ToLower(name)}, ApplicationProtocols: istioALPN},
		Filters: terminal(tcpTo(name)), Config: configPath(s.gateway, "gateway"),
	}
	if len(name) > maxSNI || !b.taken.claim(&chain.Match) {
		return nil
	}
	return chain
}

// offers tells whether a server has the host of a service.
func (s *gatewayServer) offers(svc *model.Service) bool {
	return slices.ContainsFunc(s.hosts, func(h hostIn) bool { return h.covers(svc.Namespace, svc.Hostname) })
}

// passed adds for each cluster of a service the one by which a router passes on what it does not open. It
// has only endpoints that understand the mesh's mutual TLS.
func (b *clusterBuilder) passed(svc *model.Service) {
	if svc.External {
		return
	}
	for _, of := range slices.Clone(b.clusters) {
		if of.Endpoints == nil {
			continue
		}
		cl, endpoints := *of, *of.Endpoints
		endpoints.MutualOnly = true
		cl.Name = model.DNSSNIName(endpoints.Port, of.Metadata.Subset, svc.Hostname)
		cl.AltStatName, cl.Endpoints = cl.Name+";", &endpoints
		cl.TLS, cl.AutoTLS, cl.HTTP, cl.Metadata.ALPN = nil, false, ir.HTTPUpstream{}, ""
		cl.ProxyProtocol = ir.ProxyVersionNone // the sidecar there expects TLS first
		b.add(&cl)
	}
}
