package explain

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
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

// trials gives the callers and what they ask for. A plain request, and who is not named, come first.
func (s *station) trials() ([]authz.Caller, []authz.Operation) {
	callers, operations := authz.Mentioned(s.filters, authz.Usual{TrustDomain: s.callers(), Hosts: s.hosts})
	stranger := authz.AnyIdentity(s.callers())
	first := []authz.Caller{{Name: aClient}}
	if s.request.Way == Inbound {
		first = []authz.Caller{{Name: inTheClear}, {Name: otherwise, Identity: stranger}}
	}
	for _, issuer := range s.tokens.Issuers() {
		if s.http {
			first = append(first, authz.Caller{Name: "a client with a token of " + issuer, Identity: first[len(first)-1].Identity, Claims: map[string]any{"iss": issuer}})
		}
	}
	callers = append(first, slices.DeleteFunc(callers, func(c authz.Caller) bool {
		return c.Identity == stranger && c.Claims == nil && c.Headers == nil && !c.Source.IsValid() && !c.Client.IsValid()
	})...)
	return callers, s.distinct(operations)
}

// distinct gives a plain request, and of others those that are not asked for in the same words as one before.
func (s *station) distinct(operations []authz.Operation) []authz.Operation {
	out, asked := []authz.Operation{{}}, map[string]bool{s.asked(authz.Operation{}): true}
	for _, o := range operations {
		if o.Host == s.request.Host {
			o.Host = ""
		}
		if words := s.asked(o); !asked[words] {
			asked[words] = true
			out = append(out, o)
		}
	}
	return out
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
	c := ctx.GetCommonTlsContext()
	for _, validation := range []*tlsv3.CertificateValidationContext{c.GetCombinedValidationContext().GetDefaultValidationContext(), c.GetValidationContext()} {
		for _, m := range validation.GetMatchTypedSubjectAltNames() {
			of := m.GetMatcher()
			id, ok := strings.CutPrefix(cmp.Or(of.GetPrefix(), of.GetExact()), "spiffe://")
			if domain, _, whole := strings.Cut(id, "/"); ok && whole && m.GetSanType() == tlsv3.SubjectAltNameMatcher_URI {
				return domain
			}
		}
	}
	return ""
}

// call is the request of a caller.
func (s *station) call(c authz.Caller, o authz.Operation) Request {
	r := s.request
	r.Source, r.Claims, r.Header, r.Protocol = c.Source, c.Claims, http.Header{}, TCP
	alpn := []string{"istio"}
	if s.http {
		r.Protocol, r.Method = HTTP11, o.Method
		alpn = []string{"istio-http/1.1", "istio"}
	}
	if o.Path != "" {
		r.Path = o.Path
	}
	if o.Host != "" {
		r.Host = o.Host
	}
	for _, headers := range []map[string]string{c.Headers, o.Headers} {
		for name, value := range headers {
			r.Header.Set(name, value)
		}
	}
	if c.Client.IsValid() {
		r.Header.Set("X-Forwarded-For", c.Client.String())
		if r.Way == Direct {
			r.Source = c.Client
		}
	}
	if r.Way == Inbound && c.Name != inTheClear {
		r.TLS = &TLS{Certificate: true, ALPN: alpn, Identity: c.Identity}
		if c.Identity == "" {
			r.TLS.Identity = authz.AnyIdentity(s.callers())
		}
	}
	return r
}

// asked says an operation.
func (s *station) asked(o authz.Operation) string {
	if !s.http {
		return "a connection"
	}
	r := s.call(authz.Caller{Name: aClient}, o)
	out := r.method() + " " + r.Path
	if o.Host != "" {
		out += " of host " + o.Host
	}
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		out += fmt.Sprintf(" -H '%s: %s'", name, o.Headers[name])
	}
	return out
}
