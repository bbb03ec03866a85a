package explain

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
)

// In the clear, and by mutual TLS of nobody whom a rule names: whom every station hears.
const (
	inTheClear = "a client in the clear"
	otherwise  = "any other workload of the mesh"
	aClient    = "a client"
)

// tell gives the callers and what they ask for. A plain request, and who is not named, come first.
func (s *station) tell() *authz.Telling {
	usual := authz.Usual{Port: uint32(s.request.Destination.Port()), Hosts: s.hosts, Callers: []authz.Caller{{Name: aClient}}}
	if s.request.Way == Inbound {
		usual.TrustDomain = s.callers()
		usual.Callers = []authz.Caller{{Name: inTheClear, Clear: true}, {Name: otherwise, Identity: authz.AnyIdentity(s.callers())}}
	}
	who := usual.Callers[len(usual.Callers)-1]
	for _, issuer := range s.tokens.Issuers() {
		if s.http {
			usual.Callers = append(usual.Callers, authz.Caller{Name: "a client with a token of " + issuer, Identity: who.Identity, Claims: map[string]any{"iss": issuer}})
		}
	}
	return authz.Tell(s.filters[0], s.filters[1], usual)
}

// callers is the trust domain of the workloads that call.
func (s *station) callers() string { return cmp.Or(s.domain, "cluster.local") }

// domainOf gives the first trust domain of which a filter chain takes certificates, "" where it names none.
func domainOf(chain *listenerv3.FilterChain) string {
	ctx := &tlsv3.DownstreamTlsContext{}
	socket := chain.GetTransportSocket().GetTypedConfig()
	if !socket.MessageIs(ctx) || socket.UnmarshalTo(ctx) != nil {
		return ""
	}
	for _, m := range takenNames(ctx) {
		id, ok := strings.CutPrefix(cmp.Or(m.GetMatcher().GetPrefix(), m.GetMatcher().GetExact()), "spiffe://")
		if domain, _, whole := strings.Cut(id, "/"); ok && whole && m.GetSanType() == tlsv3.SubjectAltNameMatcher_URI {
			return domain
		}
	}
	return ""
}

// call is the request of a caller.
func (s *station) call(c *authz.Caller, o *authz.Operation) Request {
	r := s.request
	r.Source, r.Claims, r.Header, r.Protocol = c.Source, c.Claims, http.Header{}, TCP
	alpn := []string{"istio"}
	if s.http {
		r.Protocol, r.Method = HTTP11, o.Method
		alpn = []string{"istio-http/1.1", "istio"}
	}
	r.Path, r.Host = cmp.Or(o.Path, r.Path), cmp.Or(o.Host, r.Host)
	if o.Local.IsValid() {
		r.Destination = netip.AddrPortFrom(o.Local, r.Destination.Port())
	}
	for name, value := range c.Headers {
		r.Header.Set(name, value)
	}
	if c.Client.IsValid() {
		r.Header.Set("X-Forwarded-For", c.Client.String())
		if r.Way == Direct || !s.http {
			r.Source = c.Client
		}
	}
	if r.Way == Inbound && !c.Clear {
		r.TLS = &TLS{Certificate: true, ALPN: alpn, Identity: cmp.Or(c.Identity, authz.AnyIdentity(s.callers())), SNI: o.ServerName}
	}
	return r
}

// asked says an operation.
func (s *station) asked(o *authz.Operation) string {
	out := "a connection"
	if s.http {
		r := s.call(&authz.Caller{}, o)
		out = r.method() + " " + r.Path
	}
	if o.Host != "" && o.Host != s.request.Host {
		out += " of host " + o.Host
	}
	if o.ServerName != "" {
		out += " for SNI " + o.ServerName
	}
	if o.Local.IsValid() {
		out += fmt.Sprintf(" to %s", o.Local)
	}
	return out
}
