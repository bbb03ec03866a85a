package semantics

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
)

// What a sidecar does with a request of HTTP.

const passthrough = "PassthroughCluster"

// egress is a listener of a client's Sidecar for what it sends; where there is no Sidecar one without a port has all.
type egress = networking.IstioEgressListener

// egresses gives the listeners of a client.
func (m *mesh) egresses(c *client) []*egress {
	for _, s := range m.sidecars {
		if s.namespace == c.namespace {
			return s.GetEgress()
		}
	}
	return []*egress{{Hosts: []string{"*/*"}}}
}

// egressAt gives the listeners that a port's traffic may meet: that of the port, which says what requests there mean, and the
// one without a port; nil for one that is not there.
func (m *mesh) egressAt(c *client, port uint32) (own, rest *egress) {
	for _, l := range m.egresses(c) {
		switch {
		case l.GetPort() == nil:
			rest = l
		case l.GetPort().GetNumber() == port:
			own = l
		}
	}
	return own, rest
}

// imported gives what of a host in a namespace a listener lets a client know of: all of it, or the narrower hosts that are
// named there, without those that are taken out.
func imported(l *egress, c *client, namespace, host string) []string {
	if l == nil {
		return nil
	}
	var in, out []string
	for _, h := range l.GetHosts() {
		from, name, _ := strings.Cut(h, "/")
		from, excluded := strings.CutPrefix(from, "~")
		switch {
		case from != "*" && from != namespace && !(from == "." && c.namespace == namespace) && !(from == "" && excluded):
		case excluded:
			out = append(out, name)
		default:
			in = append(in, inCommon([]string{host}, []string{name})...)
		}
	}
	return slices.DeleteFunc(in, func(h string) bool {
		return slices.ContainsFunc(out, func(o string) bool { return within(h, o) })
	})
}

// rulesFor gives the VirtualServices that count at a listener of a sidecar, each with the hosts that it knows of. (In Istio a
// Sidecar that names one host of a VirtualService lets all of them in.)
func (m *mesh) rulesFor(c *client, l *egress) []*virtualService {
	var out []*virtualService
	for _, v := range m.boundTo("mesh", c.namespace) {
		var hosts []string
		for _, h := range v.GetHosts() {
			hosts = append(hosts, imported(l, c, v.namespace, h)...)
		}
		if len(hosts) > 0 {
			v.Hosts = hosts
			out = append(out, v)
		}
	}
	return out
}

// servicesAt gives the services that a sidecar sees by a listener on a port, of a protocol.
func servicesAt(l *egress, c *client, port uint32, protocol string) []*service {
	return slices.DeleteFunc(services(), func(s *service) bool {
		return s.ports[port] != protocol || !slices.Contains(imported(l, c, s.namespace, s.host), s.host)
	})
}

// requested gives what a sidecar does with a request.
func (m *mesh) requested(c *client, q *explain.Request) string {
	port := uint32(q.Destination.Port())
	l, rest := m.egressAt(c, port)
	switch {
	case l == nil:
		l = rest
	case l.GetBind() != "" && l.GetBind() != q.Destination.Addr().String():
		return passthrough // for nobody but who asks there
	}
	seen := servicesAt(l, c, port, "http")
	if len(seen) == 0 && len(servicesAt(rest, c, port, "http")) == 0 {
		return passthrough // nothing looks at the request
	}
	rules := m.rulesFor(c, l)
	if s := meant(c, seen, q.Host); s != nil {
		if v := claims(c, rules, s, port); v != nil {
			return first(v.routes(c, "mesh", port), q)
		}
		return forwarded(map[string]float64{fmt.Sprintf("outbound|%d||%s", port, s.host): 1})
	}
	return outside(c, rules, seen, q, port)
}

// meant gives the service that a host stands for: its name, or a part of it as long as its namespace allows, or its address.
func meant(c *client, seen []*service, host string) *service {
	for _, s := range seen {
		names := []string{s.host, s.address}
		if short, ok := strings.CutSuffix(s.host, ".svc.cluster.local"); ok {
			names = append(names, short, short+".svc")
			if s.namespace == c.namespace {
				names = append(names, strings.TrimSuffix(short, "."+s.namespace))
			}
		}
		if host != "" && slices.Contains(names, host) {
			return s
		}
	}
	return nil
}

// claims gives the VirtualService by which requests to a service go, nil for none: of those that have a rule for the client,
// the one of the most specific host, and of these the first.
func claims(c *client, rules []*virtualService, s *service, port uint32) *virtualService {
	var out *virtualService
	best := ""
	for _, v := range rules {
		h := closest(v.GetHosts(), s.host)
		if h == "" || len(v.routes(c, "mesh", port)) == 0 {
			continue
		}
		if out == nil || best != s.host && (h == s.host || len(h) > len(best)) {
			out, best = v, h
		}
	}
	return out
}

// outside gives what happens to a request for a host of no service on its port. VirtualServices count on port 80, and on
// others where they are about a service as well. Wildcards that cover services are about those alone.
func outside(c *client, rules []*virtualService, seen []*service, q *explain.Request, port uint32) string {
	var hosts []string
	of := map[string]*virtualService{}
	for _, v := range rules {
		ofServices := func(h string) bool {
			return slices.ContainsFunc(seen, func(s *service) bool { return within(s.host, h) })
		}
		if port != 80 && !slices.ContainsFunc(v.GetHosts(), ofServices) || len(v.routes(c, "mesh", port)) == 0 {
			continue
		}
		for _, h := range v.GetHosts() {
			if !ofServices(h) && of[h] == nil {
				hosts, of[h] = append(hosts, h), v
			}
		}
	}
	if v := of[closest(hosts, q.Host)]; v != nil {
		return first(v.routes(c, "mesh", port), q)
	}
	return passthrough
}
