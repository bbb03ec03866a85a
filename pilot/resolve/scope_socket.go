package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// isSocket tells whether a listener binds to a Unix socket, and to no address.
func isSocket(bind string) bool { return strings.HasPrefix(bind, model.UnixScheme) }

// addSocket plans an egress listener on a Unix socket. Requests there tell their host and with it the port, as those to
// an HTTP proxy do. Of other bytes nothing tells whom they are for, but for a name in a TLS handshake: they go to the
// service that has one port alone, the first by model.CompareServices. Nothing captures connections to a socket, so the
// proxy itself listens.
func (p *planner) addSocket(l *egressListener, services []*model.Service) {
	o := &outbound{address: l.bind, bound: true, locked: true, hosts: &l.hosts}
	switch {
	case p.outbounds[o.socket()] != nil:
		p.report(p.scope.sidecar.ErrorAt(l.field+".bind", model.ReasonConflict,
			fmt.Sprintf("another listener of the object has %s; choose another, until then the listener is left out", l.bind)))
		return
	case l.proxies || l.protocol.IsHTTP():
		o.routes = ir.HTTPProxyRoutes + "/" + o.name()
		p.put(o)
		return
	}
	some := false
	if o.tcp, some = toldApart(l, services); some {
		p.report(p.scope.sidecar.WarningAt(l.field+".hosts", model.ReasonOutboundConflict,
			fmt.Sprintf("nothing tells which of several services bytes at %s are for; name one, until then they go to %s", l.bind, o.tcp[0].service.Hostname)))
	}
	if len(o.tcp) > 0 {
		p.put(o)
		return
	}
	p.report(p.scope.sidecar.WarningAt(l.field+".hosts", model.ReasonNotTranslated,
		fmt.Sprintf("name no service that has one port alone, so nothing tells where bytes at %s go; name one, until then the listener is left out", l.bind)))
}

// toldApart gives the services that have one port alone and a listener on a socket: the first, and others that are told
// from those before them. It tells whether some are not.
func toldApart(l *egressListener, services []*model.Service) (out []tcpPort, others bool) {
	for _, svc := range slices.SortedStableFunc(slices.Values(services), model.CompareServices) {
		port := svc.OnlyPort()
		if port == nil || !l.hosts.allowService(svc) {
			continue
		}
		as := *port
		as.Protocol = l.protocol
		next := tcpPort{servicePort: servicePort{svc, &as}}
		if slices.ContainsFunc(out, next.clashes) {
			others = true
		} else {
			out = append(out, next)
		}
	}
	return out, others
}
