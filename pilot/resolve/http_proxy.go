package resolve

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// With MeshConfig.proxyHttpPort, or the port that it names itself (ISTIO_META_HTTP_PROXY_PORT), a sidecar is an HTTP
// proxy for its workload, where nothing redirects what that sends: a listener on loopback takes requests for every HTTP
// service, whose virtual hosts go by host and port (istio.io, MeshConfig.proxyHttpPort). So is an egress listener of a
// Sidecar whose port has the protocol HTTP_PROXY, for the hosts of that listener. CONNECT has no route there. A host
// that the mesh does not know has no address to go on to, unless it is resolved by its name.

// httpProxyProtocol is what an egress listener's port has as its protocol.
const httpProxyProtocol = "HTTP_PROXY"

// httpProxyPort is where the proxy takes requests as an HTTP proxy; 0 for nowhere.
func httpProxyPort(r Reader, c *Class) uint32 {
	n := cmp.Or(c.HTTPProxyPort, uint32(r.Mesh().GetProxyHttpPort()))
	if ownsPort(r, n) {
		return 0
	}
	return n
}

// ownsPort tells whether Envoy or the agent listens on a port by itself.
func ownsPort(r Reader, n uint32) bool {
	return model.ReservedPort(n) || n == outboundPort(r) || n == inboundPort(r)
}

// proxies tells whether it is a listener for requests to an HTTP proxy.
func (o *outbound) proxies() bool { return ir.ProxyRoutes(o.routes) }

// addProxy plans the listener of the mesh's port. It has its address for itself.
func (p *planner) addProxy() {
	if port := httpProxyPort(p.r, p.c); port != 0 {
		o := &outbound{address: loopback(p.c), port: port, routes: ir.HTTPProxyRoutes, bound: true, locked: true}
		p.put(o)
		return
	}
	if n := p.c.HTTPProxyPort; n != 0 { // the mesh's own is validated
		p.report(meshObject().WarningAt("defaultConfig.proxyMetadata.ISTIO_META_HTTP_PROXY_PORT", model.ReasonConflict,
			fmt.Sprintf("a proxy names port %d, which it or its agent uses itself; choose another, until then it is no HTTP proxy", n)))
	}
}

// addEgressProxy plans an egress listener that is an HTTP proxy. Where another has its address and port, that stays.
func (p *planner) addEgressProxy(l *egressListener) {
	p.listener = l
	address := p.sharedAddress(l)
	taken := p.outbounds[socket{address, l.port}] != nil
	if taken || p.ownPort(address, l.port) {
		p.report(p.scope.sidecar.ErrorAt(l.field+".port.number", model.ReasonConflict,
			fmt.Sprintf("another listener of the proxy has port %d there; choose another, until then the listener is left out", l.port)))
		return
	}
	if l.bound && !p.c.opens(l.port) {
		p.report(p.scope.sidecar.ErrorAt(l.field+".port.number", model.ReasonConflict, tooLow(l.port)+", until then the listener is left out"))
		return
	}
	o := &outbound{address: address, port: l.port, hosts: &l.hosts, bound: l.bound, locked: true}
	o.routes = ir.HTTPProxyRoutes + "/" + o.name()
	p.put(o)
}

// ownPort tells whether the proxy itself listens on a port at an address, or on one that others cannot
// listen on beside it.
func (p *planner) ownPort(address string, n uint32) bool {
	bound := p.listener != nil && p.listener.bound
	if n == httpProxyPort(p.r, p.c) {
		return bound || address == loopback(p.c)
	}
	if bound {
		return ownsPort(p.r, n)
	}
	return address == wildcard(p.c) &&
		(n == outboundPort(p.r) || n == inboundPort(p.r) || n == model.HealthPort || n == model.PrometheusPort)
}

// takes tells whether a listener that is an HTTP proxy has a service: one of its own hosts, or, of the mesh's port, any
// but those that only egress listeners with a port take.
func (s *scope) takes(o *outbound, svc *model.Service) bool {
	if o.hosts != nil {
		return o.hosts.allowService(svc)
	}
	return s.plain() || s.rest != nil && s.rest.hosts.allowService(svc)
}

// proxied gives the routes of such a listener, which are those of the HTTP ports of the services that it has.
func (s *scope) proxied(o *outbound, services []*model.Service) *routePlan {
	out := &routePlan{proxied: true}
	for _, svc := range services {
		if !s.takes(o, svc) {
			continue
		}
		for i := range svc.Ports {
			port := &svc.Ports[i]
			if port.Protocol.IsHTTP() || port.Protocol == model.ProtocolAuto {
				out.services = append(out.services, servicePort{svc, port})
			}
		}
	}
	byHost := func(a, b servicePort) int { return strings.Compare(out.host(a), out.host(b)) }
	slices.SortStableFunc(out.services, byHost)
	out.services = slices.CompactFunc(out.services, func(a, b servicePort) bool { return byHost(a, b) == 0 })
	return out
}

// host gives what the virtual host of a service is listed by.
func (rp *routePlan) host(sp servicePort) string {
	if rp.proxied {
		return hostPort(sp.service.Hostname, sp.port.Port)
	}
	return sp.service.Hostname
}

// atPort narrows a virtual host to requests that name a port, or, on port 80, none.
func atPort(vh *ir.VirtualHost, port uint32) *ir.VirtualHost {
	names := func(domains []string) []string {
		var out []string
		for _, d := range domains {
			if port == 80 {
				out = append(out, d)
			}
			out = append(out, hostPort(d, port))
		}
		return out
	}
	own := len(vh.Domains) - vh.Aliases
	aliases := names(vh.Domains[own:])
	vh.Domains, vh.Aliases = append(names(vh.Domains[:own]), aliases...), len(aliases)
	return vh
}
