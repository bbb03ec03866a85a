package resolve

import (
	"slices"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TLSCheck compares what some endpoints of a service's port ask of their clients with what a class of clients does
// there.
type TLSCheck struct {
	Host   string `json:"host"`
	Port   uint32 `json:"port"`
	Subset string `json:"subset,omitempty"`
	// Server is the mode of PeerAuthentication, or NO SIDECAR where nothing takes mutual TLS. Of a gateway it is the mode
	// of its server, after GATEWAY.
	Server string `json:"server"`
	// Client is the mode of ClientTLSSettings; AUTO and AUTO PLAINTEXT where no rule says anything, NO SIDECAR where
	// nothing reads one, and NOT SEEN where the client's sidecar knows no such service.
	Client string `json:"client"`
	// ServerObject and ClientObject say so, KIND/NAMESPACE/NAME; "" where nothing but the defaults does.
	ServerObject string `json:"serverObject,omitempty"`
	ClientObject string `json:"clientObject,omitempty"`
	// Conflict is why connections fail, "" where they do not.
	Conflict string `json:"conflict,omitempty"`
}

// What has no mode of its own.
const (
	without         = "NO SIDECAR"
	clientAutomatic = "AUTO"
	clientPlain     = "AUTO PLAINTEXT"
	clientUnaware   = "NOT SEEN"
	gatewayMutual   = "GATEWAY ISTIO_MUTUAL"
	gatewayPlain    = "GATEWAY PLAINTEXT"
	gatewayByHost   = "GATEWAY BY HOST" // whose servers of a port have several modes
)

// TLSChecks compares for the services of the mesh that a class sees, by host, port and subset. A subset has checks of
// its own where its rule says something else about TLS. With a host it is that one alone, seen or not, since DNS answers
// for all Services; all has them. bare is for clients without a sidecar, which follow no rule and see all.
func TLSChecks(r Reader, c *Class, all []*model.Service, host string, bare bool) []TLSCheck {
	s := newScope(r, c)
	seen := s.list(r, c)
	compare := func(svc *model.Service, port *model.ServicePort, servers []tlsServer) []TLSCheck {
		return ruledChecks(r, c, svc, port, servers)
	}
	switch unseen := host != "" && !slices.ContainsFunc(seen, func(svc *model.Service) bool { return svc.Hostname == host }); {
	case bare:
		seen, compare = all, func(svc *model.Service, port *model.ServicePort, servers []tlsServer) []TLSCheck {
			return plainChecks(svc, port, servers, func(server string) TLSCheck {
				return TLSCheck{Client: without, Conflict: tlsConflict(server, without)}
			})
		}
	case unseen:
		seen = slices.DeleteFunc(slices.Clone(all), func(svc *model.Service) bool { return svc.Key.Kind != model.KindService })
		compare = func(svc *model.Service, port *model.ServicePort, servers []tlsServer) []TLSCheck {
			return plainChecks(svc, port, servers, func(server string) TLSCheck { return s.unaware(r, c, svc, server) })
		}
	}
	var out []TLSCheck
	for _, svc := range seen {
		if svc.External || host != "" && svc.Hostname != host {
			continue
		}
		for i := range svc.Ports {
			if port := &svc.Ports[i]; port.Protocol != model.ProtocolUDP {
				out = append(out, compare(svc, port, tlsServers(r, c, svc, port))...)
			}
		}
	}
	return out
}

// ruledChecks compares for a port of a service that a class sees.
func ruledChecks(r Reader, c *Class, svc *model.Service, port *model.ServicePort, servers []tlsServer) []TLSCheck {
	rule := ruleFor(r, c, svc)
	whole := policyFor(r, rule, "", port.Port)
	out := tlsChecks(r, c, svc, port, "", whole.tls, servers)
	if rule == nil {
		return out
	}
	for _, s := range rule.subsets {
		if own := policyFor(r, rule, s.name, port.Port); own.tls.spec != whole.tls.spec {
			out = append(out, tlsChecks(r, c, svc, port, s.name, own.tls, servers)...)
		}
	}
	return out
}

// unaware compares for a service that the class does not see: its sidecars pass on what they get, or nothing.
func (s *scope) unaware(r Reader, c *Class, svc *model.Service, server string) TLSCheck {
	out := TLSCheck{Client: clientUnaware}
	if s.egress != nil && r.Service(c.Namespace, svc.Hostname) != nil {
		out.ClientObject = keyText(s.sidecar)
	}
	switch {
	case !s.allowAny:
		out.Conflict = "the client's sidecar does not see the service, and sends nothing there (outboundTrafficPolicy is REGISTRY_ONLY)"
	case s.proxy == "" && !s.byName:
		out.Conflict = tlsConflict(server, clientUnaware)
	}
	return out
}

// tlsServer is what endpoints ask of their clients, and what says so.
type tlsServer struct {
	mode   string
	object *model.Object
}

// tlsServers gives what the endpoints of a port ask, each once; where there are none, what its namespace does.
func tlsServers(r Reader, c *Class, svc *model.Service, port *model.ServicePort) []tlsServer {
	var out []tlsServer
	for _, ep := range endpointsFor(r, c, svc) {
		if ep.ServicePort != port.Name {
			continue
		}
		s, gateway := gatewayTLS(r, svc, port, &ep)
		switch {
		case ep.TLSMode == model.TLSModeIstio:
			s = tlsServerOf(EndpointMTLS(r, ep.Namespace, ep.Labels, ep.Port))
		case !gateway:
			s = tlsServer{mode: without}
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		out = []tlsServer{tlsServerOf(namespaceMTLS(r, svc.Namespace))}
	}
	return out
}

// gatewayTLS gives what a gateway asks at an endpoint: what the servers of the Gateways do that select it and have the
// port. ok is false where none has.
func gatewayTLS(r Reader, svc *model.Service, port *model.ServicePort, ep *model.Endpoint) (out tlsServer, ok bool) {
	for _, o := range r.Gateways() {
		spec := o.Spec.(*networking.Gateway)
		if len(spec.GetSelector()) == 0 || !model.HasLabels(ep.Labels, spec.GetSelector()) {
			continue
		}
		for _, s := range spec.GetServers() {
			if n := s.GetPort().GetNumber(); n != ep.Port && (n != port.Port || untranslated(svc)) {
				continue
			}
			mode := gatewayPlain
			if serves, _ := serviceOf(s); serves != servesHTTP && s.GetTls() != nil {
				mode = "GATEWAY " + s.GetTls().GetMode().String()
			}
			switch {
			case !ok:
				out, ok = tlsServer{mode, o}, true
			case out.mode != mode:
				out = tlsServer{mode: gatewayByHost}
			}
		}
	}
	return out, ok
}

// plainChecks compares for clients that go by no rule, of whom client tells.
func plainChecks(svc *model.Service, port *model.ServicePort, servers []tlsServer, client func(server string) TLSCheck) []TLSCheck {
	var out []TLSCheck
	for _, s := range servers {
		check := client(s.mode)
		check.Host, check.Port, check.Server, check.ServerObject = svc.Hostname, port.Port, s.mode, keyText(s.object)
		out = append(out, check)
	}
	return out
}

func tlsServerOf(m MTLS) tlsServer { return tlsServer{m.Mode.String(), m.Object} }

func tlsChecks(r Reader, c *Class, svc *model.Service, port *model.ServicePort, subset string, client block[networking.ClientTLSSettings], servers []tlsServer) []TLSCheck {
	var out []TLSCheck
	for _, s := range servers {
		check := TLSCheck{Host: svc.Hostname, Port: port.Port, Subset: subset, Server: s.mode, ServerObject: keyText(s.object), ClientObject: keyText(client.object)}
		switch auto := r.Mesh().GetEnableAutoMtls(); {
		case client.spec != nil:
			check.Client = client.spec.GetMode().String()
		case auto != nil && !auto.GetValue() || !serviceMTLS(r, c, svc, port, svc.Headless):
			check.Client = clientPlain
		default:
			check.Client = clientAutomatic
		}
		check.Conflict = tlsConflict(s.mode, check.Client)
		out = append(out, check)
	}
	return out
}

func keyText(o *model.Object) string {
	if o == nil {
		return ""
	}
	return o.Key.String()
}

// tlsConflict tells why a connection of a client fails at a server.
func tlsConflict(server, client string) string {
	mutual := client == networking.ClientTLSSettings_ISTIO_MUTUAL.String()
	strict := server == "STRICT" || server == gatewayMutual
	switch {
	case strict && client == without:
		return "the server takes mutual TLS only, and the client has no sidecar that would speak it"
	case strict && client == clientUnaware:
		return "the server takes mutual TLS only, and the client's sidecar does not see the service (exportTo or a Sidecar leaves it out), so that it sends plain text"
	case server == gatewayMutual && client == clientAutomatic:
		return "the gateway takes mutual TLS only, and a client speaks it to gateways only where a DestinationRule says ISTIO_MUTUAL"
	case strict && (client == clientPlain || client == networking.ClientTLSSettings_DISABLE.String()):
		return "the server takes mutual TLS only, and the client speaks plain text"
	case strict && client == networking.ClientTLSSettings_SIMPLE.String():
		return "the server wants a certificate of the mesh, and the client shows none"
	case strict && client == networking.ClientTLSSettings_MUTUAL.String():
		return "the server wants a certificate of the mesh, and the client shows one of its own"
	case mutual && (server == "DISABLE" || server == gatewayPlain):
		return "the server takes no mutual TLS, and the client speaks nothing else"
	case mutual && server == without:
		return "the server has no sidecar that would take mutual TLS, and the client speaks nothing else"
	}
	return ""
}

// reportTLSConflict tells of both objects where a rule has clients speak otherwise than the PeerAuthentication of the
// service's pods, its namespace or the mesh lets them take. Where it takes endpoints to know which, nothing is told.
func (b *clusterBuilder) reportTLSConflict(t block[networking.ClientTLSSettings], svc *model.Service, port *model.ServicePort) {
	if t.object == nil || svc.External {
		return
	}
	server, known := selectedMTLS(b.r, svc, port)
	conflict := tlsConflict(server.Mode.String(), t.spec.GetMode().String())
	if !known || conflict == "" || server.Object == nil {
		return
	}
	said := func(o *model.Object, field string, other model.Key) {
		b.report(o.WarningAt(field, model.ReasonConflict,
			"for "+svc.Hostname+" it is in conflict with "+other.String()+": "+conflict+", if its pods have a sidecar; leave tls out of the DestinationRule, so that both fit"))
	}
	said(t.object, t.field+".mode", server.Object.Key)
	said(server.Object, server.Field, t.object.Key)
}

// selectedMTLS gives what all pods of a service take on a port, as far as its selector tells. It does not know where
// a PeerAuthentication means some pods by labels of which the selector says nothing.
func selectedMTLS(r Reader, svc *model.Service, port *model.ServicePort) (_ MTLS, known bool) {
	if svc.Namespace != rootNamespace(r) {
		for _, o := range r.PeerAuthentications(svc.Namespace) {
			pa := o.Spec.(*security.PeerAuthentication)
			labels := pa.GetSelector().GetMatchLabels()
			if len(labels) == 0 || contradict(labels, svc.Selector) {
				continue
			}
			if !selects(pa.GetSelector(), svc.Selector) || port.TargetPort == 0 && len(pa.GetPortLevelMtls()) > 0 {
				return MTLS{}, false
			}
			return effectiveMTLS(r, svc.Namespace, o, port.TargetPort), true
		}
	}
	return namespaceMTLS(r, svc.Namespace), true
}

// contradict tells whether nothing has both labels.
func contradict(a, b map[string]string) bool {
	for k, v := range a {
		if other, ok := b[k]; ok && other != v {
			return true
		}
	}
	return false
}
