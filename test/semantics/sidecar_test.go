package semantics

import (
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
)

// What a sidecar does with a request of HTTP.

const passthrough = "PassthroughCluster"

// imported gives what of a host in a namespace the client's Sidecar lets it know of: all of it, or the narrower hosts that are
// named there; where there is no Sidecar, all.
func (m *mesh) imported(c *client, namespace, host string) []string {
	for _, s := range m.sidecars {
		if s.namespace != c.namespace {
			continue
		}
		var out []string
		for _, egress := range s.GetEgress() {
			for _, h := range egress.GetHosts() {
				from, name, _ := strings.Cut(h, "/")
				if from == "*" || from == namespace || from == "." && c.namespace == namespace {
					out = append(out, inCommon([]string{host}, []string{name})...)
				}
			}
		}
		return out
	}
	return []string{host}
}

// rulesFor gives the VirtualServices that count at a sidecar, each with the hosts that it knows of. (In Istio a Sidecar that
// names one host of a VirtualService lets all of them in.)
func (m *mesh) rulesFor(c *client) []*virtualService {
	var out []*virtualService
	for _, v := range m.boundTo("mesh", c.namespace) {
		var hosts []string
		for _, h := range v.GetHosts() {
			hosts = append(hosts, m.imported(c, v.namespace, h)...)
		}
		if len(hosts) > 0 {
			v.Hosts = hosts
			out = append(out, v)
		}
	}
	return out
}

// servicesAt gives the services that a sidecar sees on a port, of a protocol.
func (m *mesh) servicesAt(c *client, port uint32, protocol string) []*service {
	return slices.DeleteFunc(services(), func(s *service) bool {
		return s.ports[port] != protocol || !slices.Contains(m.imported(c, s.namespace, s.host), s.host)
	})
}

// requested gives what a sidecar does with a request.
func (m *mesh) requested(c *client, q *explain.Request) string {
	port := uint32(q.Destination.Port())
	seen := m.servicesAt(c, port, "http")
	if len(seen) == 0 {
		return passthrough // nothing looks at the request
	}
	if s := meant(c, seen, q.Host); s != nil {
		if v := m.claims(c, seen, s, port); v != nil {
			return first(v.routes(c, "mesh", port), q)
		}
		return forwarded(map[string]float64{"outbound|" + q.Destination.String()[strings.LastIndex(q.Destination.String(), ":")+1:] + "||" + s.host: 1})
	}
	return m.outside(c, seen, q, port)
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
func (m *mesh) claims(c *client, seen []*service, s *service, port uint32) *virtualService {
	var out *virtualService
	best := ""
	for _, v := range m.rulesFor(c) {
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

// outside gives what happens to a request for a host of no service on its port. VirtualServices count on port 80 alone, and
// there not by wildcards that cover services, which are about those. (In Istio also on ports where they are about a service.)
func (m *mesh) outside(c *client, seen []*service, q *explain.Request, port uint32) string {
	var hosts []string
	rules := map[string]*virtualService{}
	for _, v := range m.rulesFor(c) {
		if port != 80 || len(v.routes(c, "mesh", port)) == 0 {
			continue
		}
		for _, h := range v.GetHosts() {
			ofServices := slices.ContainsFunc(seen, func(s *service) bool { return within(s.host, h) })
			if !ofServices && rules[h] == nil {
				hosts, rules[h] = append(hosts, h), v
			}
		}
	}
	if v := rules[closest(hosts, q.Host)]; v != nil {
		return first(v.routes(c, "mesh", port), q)
	}
	return passthrough
}
