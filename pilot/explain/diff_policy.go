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
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// station is where calls come in that policies decide about: a port of a workload, or a host of a gateway.
type station struct {
	where   string // as it is printed
	request Request
	http    bool
	// Before and after; what is read of one configuration is before.
	filters  [2][]*ir.RBAC
	chains   [2][]*listenerv3.FilterChain
	tokens   authz.Tokens
	domain   string   // a trust domain of which callers are taken; "" for any
	hosts    []string // that are asked for here
	clusters []string // that calls are led to
}

// calls lists what becomes otherwise of the calls by which the rules of two configurations tell callers and requests
// apart: who is let in who was not, and the other way.
func (f *focus) calls() []Change {
	all := map[string]*station{}
	ports := slices.Concat(f.before.portsNamed(), f.after.portsNamed())
	for side, config := range []*Config{f.before, f.after} {
		for name, s := range config.stations(ports) {
			if all[name] == nil {
				all[name] = &station{where: s.where, request: s.request}
			}
			all[name].join(side, s)
		}
	}
	var out []Change
	where := map[string][]string{} // stations by what changes there
	var order []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]
		if !s.differs(f) {
			continue
		}
		for _, c := range s.compare(f) {
			line := c.String()
			if where[line] == nil {
				order, out = append(order, line), append(out, c)
			}
			where[line] = append(where[line], s.where)
		}
	}
	for i, line := range order {
		out[i].Request += " " + places(where[line], len(all))
	}
	if f.before.Captures() {
		out = append(out, f.observed()...)
	}
	return out
}

// places says at which of so many stations something changes.
func places(where []string, all int) string {
	if len(where) == all && all > 1 && strings.HasPrefix(where[0], toPort) {
		return toPort + "any port"
	}
	out := where[:1:1]
	for _, w := range where[1:] {
		out = append(out, strings.TrimPrefix(w, toPort))
	}
	return enumerated(out)
}

// join adds what a station is by one of two configurations.
func (s *station) join(side int, own *station) {
	s.filters[side], s.chains[side] = own.filters[0], own.chains[0]
	s.tokens, s.http = append(s.tokens, own.tokens...), s.http || own.http
	s.domain, s.hosts = cmp.Or(s.domain, own.domain), append(s.hosts, own.hosts...)
	s.clusters = append(s.clusters, own.clusters...)
}

// differs tells whether anything differs that a call to the station comes to.
func (s *station) differs(f *focus) bool {
	if s.request.Way == Direct && (len(s.chains[0]) == 0 || len(s.chains[1]) == 0) {
		return false // what a gateway has no host for is told of its routes
	}
	same := func(a, b *listenerv3.FilterChain) bool { return proto.Equal(a, b) }
	return !slices.EqualFunc(s.chains[0], s.chains[1], same) || slices.ContainsFunc(s.clusters, func(name string) bool { return f.clusters[name] })
}

// stations gives those of a proxy by name, also for some ports of which it has no chain.
func (c *Config) stations(ports []uint32) map[string]*station {
	out := map[string]*station{}
	for _, l := range c.Listeners {
		switch {
		case l.GetName() == virtualInbound:
			c.ports(out, l, ports)
		case !c.Captures():
			c.hosts(out, l)
		}
	}
	return out
}

// otherPort stands for the ports of which no Service and no rule tells.
const (
	otherPort    = 65000
	anyOtherPort = "any other port"
)

// localhost is the host that a call to a workload asks for, where rules say nothing of hosts.
const localhost = "localhost"

// toPort begins the place of a station of a workload.
const toPort = "to "

// portsNamed gives the ports that policies of a workload name, or that have filter chains.
func (c *Config) portsNamed() []uint32 {
	var out []uint32
	for _, l := range c.Listeners {
		if l.GetName() != virtualInbound {
			continue
		}
		for _, chain := range l.GetFilterChains() {
			s := &station{}
			s.read(chain)
			out = append(out, authz.NamedPorts(s.filters[0])...)
			out = append(out, chain.GetFilterChainMatch().GetDestinationPort().GetValue())
		}
	}
	return out
}

// ports adds those of a workload, others that are named, and one that stands for all further.
func (c *Config) ports(out map[string]*station, l *listenerv3.Listener, named []uint32) {
	own := uint32(port(l.GetAddress()))
	named = slices.DeleteFunc(slices.Clone(named), func(p uint32) bool { return p == 0 || p == own || p == otherPort })
	has := func(p uint32) bool {
		return slices.ContainsFunc(l.GetFilterChains(), func(f *listenerv3.FilterChain) bool {
			return f.GetFilterChainMatch().GetDestinationPort().GetValue() == p
		})
	}
	for _, p := range append(named, otherPort) {
		name := fmt.Sprintf("port %d", p)
		switch {
		case p == otherPort && len(named) > 0:
			name = anyOtherPort
		case p == otherPort:
			name = "any port"
		}
		if out[name] != nil {
			continue
		}
		s := &station{where: toPort + name, hosts: []string{localhost, "any"}, request: Request{
			Way: Inbound, Host: localhost, Path: "/",
			Destination: netip.AddrPortFrom(netip.MustParseAddr(UnknownAddress), uint16(p)),
		}}
		for _, chain := range l.GetFilterChains() {
			if of := chain.GetFilterChainMatch().GetDestinationPort().GetValue(); of == p || of == 0 && !has(p) {
				s.read(chain)
			}
		}
		out[name] = s
	}
}

// hosts adds the first host of each connection manager of a gateway.
func (c *Config) hosts(out map[string]*station, l *listenerv3.Listener) {
	for _, chain := range append(slices.Clone(l.GetFilterChains()), l.GetDefaultFilterChain()) {
		s := &station{}
		s.read(chain)
		if !s.http {
			continue
		}
		to := netip.AddrPortFrom(netip.MustParseAddr(UnknownAddress), port(l.GetAddress()))
		r := Request{Way: Direct, Destination: to, Protocol: HTTP11, Path: "/"}
		if asked := c.askedFor(to.Port()); asked != to.Port() {
			r.Port = asked
		}
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
	s.domain, s.chains[0] = cmp.Or(s.domain, domainOf(chain)), append(s.chains[0], chain)
	s.clusters = append(s.clusters, led(chain)...)
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
		s.filters[0] = append(s.filters[0], r)
	}
}

// fate is what becomes of a call by two configurations.
type fate struct{ before, after string }

// triedMost bounds how many calls are made to a station.
const triedMost = 600

// compare makes the calls, and puts those together that fare alike.
func (s *station) compare(f *focus) []Change {
	t := s.tell()
	found, first := map[fate]map[string][]string{}, map[fate]Change{} // callers by operation
	var order []fate
	all := len(t.Callers)*len(t.Operations) <= triedMost
	tried := 0
	for i := range t.Operations {
		o := &t.Operations[i]
		for j := range t.Callers {
			c := &t.Callers[j]
			if plain := i == 0 || j < 2; !all && !plain && !t.Differ(j, i) || tried == triedMost && !plain {
				continue
			}
			tried++
			r := s.call(c, o)
			a, b := f.try(probe{request: r})
			if a.class() == b.class() {
				continue
			}
			to := fate{a.verdict(b), b.verdict(a)}
			if found[to] == nil {
				found[to] = map[string][]string{}
				order = append(order, to)
				first[to] = Change{Differences: f.callDifferences(&s.request, a, b, to), Was: &a.Outcome, Is: &b.Outcome}
			}
			if words := s.asked(o); !slices.Contains(found[to][words], c.Name) {
				found[to][words] = append(found[to][words], c.Name)
			}
		}
	}
	var out []Change
	for _, to := range order {
		for _, line := range s.lines(found[to], t.Callers, t.Operations) {
			c := first[to]
			c.Request = line
			out = append(out, c)
		}
	}
	return out
}

// callDifferences says what becomes otherwise of a call: whether it comes in, else what is different on the way.
func (f *focus) callDifferences(r *Request, a, b *Answer, to fate) []Difference {
	if a.Outcome.Refused == b.Outcome.Refused {
		if all := f.differences(r, a, b); len(all) > 0 {
			return all
		}
	}
	return []Difference{{Before: to.before, After: to.after}}
}

// lines says which calls of a table, of callers by operation, are meant.
func (s *station) lines(table map[string][]string, callers []authz.Caller, operations []authz.Operation) []string {
	words := map[string]bool{}
	for i := range operations {
		words[s.asked(&operations[i])] = true
	}
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
		if s.http && len(by[who]) == len(words) {
			what = "any request"
		}
		out = append(out, what+" of "+who)
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

// class tells answers apart as callers do: by the answer, where they are refused, whatever the reason is.
func (a *Answer) class() string {
	if a.Outcome.Refused {
		return fmt.Sprint(a.Outcome.Status, a.Outcome.Closed)
	}
	return a.said() + a.asks()
}

// asks names the provider that is asked, on which it depends whether a call comes in; "" for none.
func (a *Answer) asks() string {
	for _, s := range a.Steps {
		if asks, _, ok := strings.Cut(s.Text, " about "); ok && s.Stage == StagePolicy && strings.HasPrefix(asks, "asks provider ") {
			return asks
		}
	}
	return ""
}

// verdict says what becomes of a call, and which policy decides, beside what becomes of it otherwise.
func (a *Answer) verdict(other *Answer) string {
	switch {
	case a.Outcome.Refused:
		return a.brief()
	case a.asks() != "":
		return a.asks()
	case !other.Outcome.Refused && other.asks() == "":
		return a.brief()
	}
	at := slices.IndexFunc(a.Steps, func(s Step) bool { return s.Stage == StagePolicy && strings.HasPrefix(s.Text, "allows ") })
	if at < 0 {
		return "allowed"
	}
	by := (&Step{Object: a.Steps[at].Object, Place: Place{Field: a.Steps[at].Field}}).origin()
	return "allowed by " + strings.TrimPrefix(by, "authorization-policy ")
}

// led gives the clusters that a chain of a workload leads to.
func led(chain *listenerv3.FilterChain) []string {
	var out []string
	for _, filter := range chain.GetFilters() {
		p, m := &tcpproxy.TcpProxy{}, &hcm.HttpConnectionManager{}
		switch packed := filter.GetTypedConfig(); {
		case packed.MessageIs(p) && packed.UnmarshalTo(p) == nil:
			out = append(out, p.GetCluster())
		case packed.MessageIs(m) && packed.UnmarshalTo(m) == nil:
			for _, vh := range m.GetRouteConfig().GetVirtualHosts() {
				for _, r := range vh.GetRoutes() {
					out = append(out, r.GetRoute().GetCluster())
				}
			}
		}
	}
	return out
}
