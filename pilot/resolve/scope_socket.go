package resolve

import (
	"fmt"
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
	o := &outbound{address: l.bind, bound: true, locked: true}
	switch {
	case p.byName[o.name()] != nil: // the first of two counts
		return
	case l.proxies || l.protocol.IsHTTP():
		o.hosts, o.routes = &l.hosts, ir.HTTPProxyRoutes+"/"+o.name()
		p.byName[o.name()] = o
		return
	}
	for _, svc := range services {
		if port := svc.OnlyPort(); port != nil && l.hosts.allowService(svc) {
			as := *port
			as.Protocol = l.protocol
			o.tcp = append(o.tcp, tcpPort{servicePort: servicePort{svc, &as}})
		}
	}
	if len(o.tcp) > 0 {
		p.byName[o.name()] = o
		return
	}
	p.problems = append(p.problems, model.Problem{
		Object: p.sidecar.Key, Field: l.field + ".hosts", Severity: model.SeverityWarning, Reason: model.ReasonNotTranslated, Origin: p.sidecar.Origin,
		Message: fmt.Sprintf("name no service that has one port alone, so nothing tells where bytes at %s go; name one, until then the listener is left out", l.bind),
	})
}
