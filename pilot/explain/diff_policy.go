package explain

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	jwt "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	rbachttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	rbacnet "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// station is where calls come in that policies decide about: a port of a workload, or a host of a gateway.
type station struct {
	where   string // as it is printed
	request Request
	http    bool
	filters []*ir.RBAC
	tokens  authz.Tokens
	domain  string   // a trust domain of which callers are taken; "" for any
	hosts   []string // that are asked for here
}

// calls lists what becomes otherwise of the calls by which the rules of two configurations tell callers and requests
// apart: who is let in who was not, and the other way.
func calls(before, after *Config) []Change {
	all := before.stations()
	for name, s := range after.stations() {
		if was, ok := all[name]; ok {
			s.filters, s.tokens, s.http = append(was.filters, s.filters...), append(was.tokens, s.tokens...), s.http || was.http
			s.domain, s.hosts = cmp.Or(was.domain, s.domain), append(was.hosts, s.hosts...)
		}
		all[name] = s
	}
	var out []Change
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]
		out = append(out, s.compare(before, after)...)
	}
	return out
}

// stations gives those of a proxy by name.
func (c *Config) stations() map[string]station {
	out := map[string]station{}
	for _, l := range c.Listeners {
		switch {
		case l.GetName() == virtualInbound:
			c.ports(out, l)
		case !c.Captures():
			c.hosts(out, l)
		}
	}
	return out
}

// otherPort stands for the ports of which no Service tells.
const (
	otherPort    = 65000
	anyOtherPort = "any other port"
)

// localhost is the host that a call to a workload asks for, where rules say nothing of hosts.
const localhost = "localhost"

// ports adds the ports of a workload, and one for those of which no Service tells, if there is no other or if rules tell
// ports apart.
func (c *Config) ports(out map[string]station, l *listenerv3.Listener) {
	own := func(f *listenerv3.FilterChain) uint16 {
		return uint16(f.GetFilterChainMatch().GetDestinationPort().GetValue())
	}
	known := slices.ContainsFunc(l.GetFilterChains(), func(f *listenerv3.FilterChain) bool { return own(f) != 0 && own(f) != port(l.GetAddress()) })
	for _, chain := range l.GetFilterChains() {
		p := own(chain)
		name := fmt.Sprintf("port %d", p)
		switch {
		case p == port(l.GetAddress()):
			continue
		case p == 0 && known:
			p, name = otherPort, anyOtherPort
		case p == 0:
			p, name = otherPort, "any port"
		}
		s := out[name]
		s.where, s.hosts = "to "+name, []string{localhost, "any"}
		s.request = Request{
			Way: Inbound, Host: localhost, Path: "/",
			Destination: netip.AddrPortFrom(netip.MustParseAddr(UnknownAddress), p),
		}
		s.read(chain)
		out[name] = s
	}
	if !authz.NamePorts(out[anyOtherPort].filters) {
		delete(out, anyOtherPort)
	}
}

// hosts adds the first host of each connection manager of a gateway.
func (c *Config) hosts(out map[string]station, l *listenerv3.Listener) {
	for _, chain := range append(slices.Clone(l.GetFilterChains()), l.GetDefaultFilterChain()) {
		s := station{}
		s.read(chain)
		if !s.http {
			continue
		}
		to := netip.AddrPortFrom(netip.MustParseAddr(UnknownAddress), port(l.GetAddress()))
		r := Request{Way: Direct, Destination: to, Protocol: HTTP11, Path: "/"}
		if chain.GetTransportSocket() != nil {
			r.TLS = &TLS{Certificate: true}
		}
		for _, f := range chain.GetFilters() {
			m := &hcm.HttpConnectionManager{}
			if !f.GetTypedConfig().MessageIs(m) || f.GetTypedConfig().UnmarshalTo(m) != nil {
				continue
			}
			s.hosts = nil
			for _, vh := range c.routesOf(m).GetVirtualHosts() {
				s.hosts = append(s.hosts, strings.Replace(vh.GetDomains()[0], "*", "any", 1))
			}
			if len(s.hosts) == 0 {
				continue
			}
			r.Host = s.hosts[0]
			host, _ := splitPort(r.Host)
			if r.TLS != nil {
				r.TLS = &TLS{SNI: host, Certificate: true}
			}
			s.request, s.where = r, fmt.Sprintf("at %s:%d", host, to.Port())
			out[s.where] = s
		}
	}
}

// read notes the rules of a chain, and of what trust domain it takes callers.
func (s *station) read(chain *listenerv3.FilterChain) {
	s.domain = cmp.Or(s.domain, domainOf(chain))
	for _, f := range chain.GetFilters() {
		m := &hcm.HttpConnectionManager{}
		if !f.GetTypedConfig().MessageIs(m) || f.GetTypedConfig().UnmarshalTo(m) != nil {
			s.take(f.GetName(), f.GetTypedConfig())
			continue
		}
		s.http = true
		for _, h := range m.GetHttpFilters() {
			s.take(h.GetName(), h.GetTypedConfig())
		}
	}
}

func (s *station) take(name string, packed *anypb.Any) {
	h, n, t := &rbachttp.RBAC{}, &rbacnet.RBAC{}, &jwt.JwtAuthentication{}
	var rules authz.Enforcement
	switch {
	case name == guardName || name == oneIdentity:
		return
	case packed.MessageIs(h) && packed.UnmarshalTo(h) == nil:
		rules = h
	case packed.MessageIs(n) && packed.UnmarshalTo(n) == nil:
		rules = n
	case packed.MessageIs(t) && packed.UnmarshalTo(t) == nil:
		s.tokens = append(s.tokens, authz.ReadTokens(t).Providers...)
		return
	default:
		return
	}
	if r, err := authz.Read(rules); err == nil {
		s.filters = append(s.filters, r)
	}
}

// fate is what becomes of a call by two configurations.
type fate struct{ before, after string }

// compare makes the calls, and puts those together that fare alike.
func (s *station) compare(before, after *Config) []Change {
	callers, operations := s.trials()
	found := map[fate]map[string][]string{} // callers by operation
	var order []fate
	for _, o := range operations {
		for _, c := range callers {
			r := s.call(c, o)
			a, b := before.Explain(r), after.Explain(r)
			if a.Outcome.class() == b.Outcome.class() {
				continue
			}
			f := fate{a.verdict(b), b.verdict(a)}
			if found[f] == nil {
				found[f] = map[string][]string{}
				order = append(order, f)
			}
			found[f][s.asked(o)] = append(found[f][s.asked(o)], c.Name)
		}
	}
	var out []Change
	for _, f := range order {
		for _, line := range s.lines(found[f], callers, len(operations)) {
			out = append(out, Change{Request: line, Before: f.before, After: f.after})
		}
	}
	return out
}

// lines says which calls of a table, of callers by operation, are meant.
func (s *station) lines(table map[string][]string, callers []authz.Caller, operations int) []string {
	by := map[string][]string{} // operations by callers
	for _, o := range slices.Sorted(maps.Keys(table)) {
		who := enumerated(table[o])
		if len(table[o]) == len(callers) && len(callers) > 1 {
			who = "anybody"
		}
		by[who] = append(by[who], o)
	}
	var out []string
	for _, who := range slices.Sorted(maps.Keys(by)) {
		what := enumerated(by[who])
		if s.http && len(by[who]) == operations {
			what = "any request"
		}
		out = append(out, fmt.Sprintf("%s of %s %s", what, who, s.where))
	}
	return out
}

// enumeratedMost is how many of a list are named.
const enumeratedMost = 4

func enumerated(all []string) string {
	if more := len(all) - enumeratedMost; more > 1 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:enumeratedMost], ", "), more)
	}
	return strings.Join(all, ", ")
}

// class tells outcomes apart as callers do: by the answer, where they are refused, whatever the reason is.
func (o *Outcome) class() string {
	if o.Refused {
		return fmt.Sprint(o.Status, o.Closed)
	}
	return said(o)
}

// verdict says what becomes of a call, and which policy decides, beside what becomes of it otherwise.
func (a *Answer) verdict(other *Answer) string {
	o := &a.Outcome
	switch {
	case o.Closed && strings.HasPrefix(o.Reason, denied):
		return "the connection is closed: " + o.Reason
	case o.Closed:
		return "the connection is refused"
	case o.Refused:
		return fmt.Sprintf("%d %s", o.Status, o.Reason)
	case !other.Outcome.Refused:
		return o.difference(&other.Outcome)
	}
	at := slices.IndexFunc(a.Steps, func(s Step) bool { return s.Stage == StagePolicy && strings.HasPrefix(s.Text, "allows ") })
	if at < 0 {
		return "allowed"
	}
	return "allowed by " + (&Step{Object: a.Steps[at].Object, Place: Place{Field: a.Steps[at].Field}}).origin()
}
