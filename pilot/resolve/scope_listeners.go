package resolve

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// egressListener is an egress listener of a Sidecar object.
type egressListener struct {
	field    string         // spec.egress[i]
	port     uint32         // 0 for each service's own
	protocol model.Protocol // ProtocolAuto for the services' own
	bind     string         // "" for the services' own addresses
	bound    bool           // the proxy itself listens there
	proxies  bool           // it is an HTTP proxy, to all ports of its hosts
	hosts    egressHosts
}

func (l egressListener) same(o egressListener) bool {
	return l.field == o.field && l.port == o.port && l.protocol == o.protocol && l.bind == o.bind && l.bound == o.bound &&
		l.proxies == o.proxies && l.hosts.same(&o.hosts)
}

// egressListeners reads the listeners with a port, and the one without, which takes what they leave; nil for
// none.
func egressListeners(spec *networking.Sidecar, c *Class) (listeners []egressListener, rest *egressListener) {
	for i, l := range spec.GetEgress() {
		one := egressListener{
			field: fmt.Sprintf("spec.egress[%d]", i), port: l.GetPort().GetNumber(), protocol: declaredProtocol(l.GetPort().GetProtocol()),
			bind: l.GetBind(), bound: l.GetCaptureMode() == networking.CaptureMode_NONE,
			proxies: strings.EqualFold(l.GetPort().GetProtocol(), httpProxyProtocol), hosts: parseHosts(c.Namespace, l.GetHosts()),
		}
		if l.GetPort() == nil {
			rest = &one
		} else {
			listeners = append(listeners, one)
		}
	}
	return listeners, rest
}

// sameEgress tells whether two scopes have the same egress listeners.
func (s *scope) sameEgress(o *scope) bool {
	return s.egress.same(o.egress) && slices.EqualFunc(s.listeners, o.listeners, egressListener.same) &&
		(s.rest == nil) == (o.rest == nil) && (s.rest == nil || s.rest.same(*o.rest))
}

// plain tells whether every service is listened for where it says itself.
func (s *scope) plain() bool {
	return s.egress == nil || len(s.listeners) == 0 && s.rest != nil && !s.rest.bound
}

// listened gives the services that listeners are for: all that the Sidecar names. Those that only VirtualServices lead to
// have clusters alone, as in Istio.
func (s *scope) listened(services []*model.Service) []*model.Service {
	if s.egress == nil {
		return services
	}
	return slices.DeleteFunc(slices.Clone(services), func(svc *model.Service) bool { return !s.egress.allowService(svc) })
}

// addListeners plans the egress listeners with a port, and what the others leave. What a listener with a
// port has taken is its own: nothing else joins it.
func (p *planner) addListeners(services []*model.Service) {
	s := p.scope
	for i := range s.listeners {
		l := &s.listeners[i]
		if isSocket(l.bind) {
			p.addSocket(l, services)
			continue
		}
		if l.proxies {
			p.addEgressProxy(l)
			continue
		}
		found := false
		for _, svc := range services {
			if port := svc.PortByNumber(l.port); port != nil && l.hosts.allowService(svc) {
				found, p.listener = true, l
				p.addService(svc, port)
			}
		}
		switch o := p.outbounds[socket{p.sharedAddress(l), l.port}]; {
		case o == nil && l.protocol.IsHTTP(): // for VirtualServices alone
			p.openHTTP(l)
		case !found && !l.protocol.IsHTTP():
			p.report(p.scope.sidecar.WarningAt(l.field+".port.number", model.ReasonReference,
				fmt.Sprintf("no service of its hosts has port %d, so that nothing listens there; write a port that one has", l.port)))
		}
	}
	for _, o := range p.outbounds {
		o.locked = true
	}
	p.listener = s.rest
	p.addServices(services, func(svc *model.Service) bool { return s.rest != nil && s.rest.hosts.allowService(svc) })
	for port, all := range p.http { // of several addresses
		slices.SortStableFunc(all, func(a, b servicePort) int { return strings.Compare(a.service.Hostname, b.service.Hostname) })
		p.http[port] = slices.CompactFunc(all, func(a, b servicePort) bool { return a.service.Hostname == b.service.Hostname })
	}
}

func (p *planner) sharedAddress(l *egressListener) string {
	switch {
	case l == nil:
		return wildcard(p.c)
	case l.bind == "" && l.bound:
		return loopback(p.c)
	}
	return bindAddress(p.c, l.bind)
}

// openHTTP makes the listener of HTTP requests to a port that no service has.
func (p *planner) openHTTP(l *egressListener) {
	sp := servicePort{&model.Service{Key: p.scope.sidecar.Key, Origin: p.scope.sidecar.Origin}, &model.ServicePort{Port: l.port, Protocol: l.protocol}}
	p.listener = l
	if o := p.at(sp, p.sharedAddress(l)); o != nil {
		o.routes = portName(l.port)
	}
}
