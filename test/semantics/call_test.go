package semantics

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
)

// Calls of a mesh, and what an answer says of them in the words of the model.

// call makes one of a client, mostly to a host that a rule for it is about.
func (m *maker) call(c *client) *explain.Request {
	var hosts []string
	for _, v := range m.mesh.rules {
		if c.gateway == (len(v.GetGateways()) > 0 && v.GetGateways()[0] != "mesh") || slices.Contains(v.GetGateways(), "mesh") {
			hosts = append(hosts, v.GetHosts()...)
		}
	}
	if len(hosts) == 0 || m.IntN(4) == 0 {
		hosts = []string{"nobody.test", "gone.default" + cluLocal}
		for _, s := range services() {
			hosts = append(hosts, s.host)
		}
	}
	host := m.filled(pick(m.Rand, hosts...))
	q := &explain.Request{Way: explain.Outbound, Protocol: explain.HTTP11, Host: host, Method: pick(m.Rand, "GET", "POST"), Header: http.Header{}}
	q.Path = pick(m.Rand, "/", "/a", "/A", "/a/b", "/a/bc", "/A/B", "/c", "/b/b") + pick(m.Rand, "", "", "?v=1", "?v=2", "?v=")
	for _, name := range []string{"X", "Y"} {
		if value := pick(m.Rand, "", "1", "2", "12"); value != "" {
			q.Header[name] = []string{value}
		}
	}
	if group := pick(m.Rand, "", "staff", "guest"); group != "" {
		q.Claims = map[string]any{"iss": "me", "group": group}
	}
	if c.gateway {
		m.toGateway(q)
	} else {
		m.toMesh(c, q)
	}
	return q
}

// filled gives a name that a host covers, mostly that of a service where there is one.
func (m *maker) filled(host string) string {
	var names []string
	for _, s := range services() {
		if within(s.host, host) && s.host[0] != '*' {
			names = append(names, s.host)
		}
	}
	if len(names) > 0 && m.IntN(3) > 0 {
		return pick(m.Rand, names...)
	}
	return strings.TrimPrefix(strings.Replace(host, "*", pick(m.Rand, "a", "x", "x.y"), 1), ".")
}

func (m *maker) toGateway(q *explain.Request) {
	q.Way = explain.Direct
	ports := []uint32{80, 443}
	if m.IntN(10) > 0 {
		ports = nil
		for _, g := range m.mesh.gateways {
			for _, s := range g.GetServers() {
				ports = append(ports, s.GetPort().GetNumber())
			}
		}
	}
	port := pick(m.Rand, ports...)
	q.Destination = netip.AddrPortFrom(netip.MustParseAddr(gatewayAddress), uint16(port))
	switch port {
	case 443:
		q.TLS = &explain.TLS{SNI: q.Host, ALPN: []string{"http/1.1"}}
		if m.IntN(4) == 0 {
			m.fromSidecar(q)
		}
	case 6000:
		bytesOnly(q)
	}
}

// fromSidecar makes it a connection of a sidecar's to a service.
func (m *maker) fromSidecar(q *explain.Request) {
	s := pick(m.Rand, services()...)
	var ports []uint32
	for port := range s.ports {
		ports = append(ports, port)
	}
	slices.Sort(ports)
	q.TLS = &explain.TLS{SNI: fmt.Sprintf("outbound_.%d_.%s_.%s", pick(m.Rand, ports...), pick(m.Rand, s.subsets()...), s.host), ALPN: []string{pick(m.Rand, "istio", "istio", "http/1.1")}}
}

func bytesOnly(q *explain.Request) {
	q.Protocol, q.Method, q.Host, q.Path, q.Header, q.Claims = explain.TCP, "", "", "", nil, nil
}

func (m *maker) toMesh(c *client, q *explain.Request) {
	to := func(address string, port uint32) {
		q.Destination = netip.AddrPortFrom(netip.MustParseAddr(address), uint16(port))
	}
	switch m.IntN(4) {
	case 0:
		s := pick(m.Rand, named("db.default"+cluLocal), named("shop.default"+cluLocal), named("pay.other"+cluLocal))
		for port, protocol := range s.ports {
			if protocol == "tcp" {
				to(s.address, port)
			}
		}
		bytesOnly(q)
	case 1:
		q.TLS = &explain.TLS{SNI: q.Host}
		to(pick(m.Rand, "10.96.7.1", "10.96.7.2", "198.51.100.1", "203.0.113.1"), 443)
		bytesOnly(q)
	default:
		port := pick(m.Rand, uint32(80), 80, 9080, 8000)
		if s := named(q.Host); s != nil {
			for _, p := range []uint32{80, 8000, 9080} {
				if s.ports[p] == "http" && m.IntN(4) > 0 {
					port = p
				}
			}
			if m.IntN(3) == 0 {
				q.Host = m.shortened(c, s)
			}
		}
		to(pick(m.Rand, "203.0.113.1", "203.0.113.1", "203.0.113.1", boundAddress), port)
	}
}

// shortened gives another name of a service.
func (m *maker) shortened(c *client, s *service) string {
	short, ok := strings.CutSuffix(s.host, cluLocal)
	switch {
	case !ok:
		return s.address
	case s.namespace == c.namespace:
		return pick(m.Rand, short, short+".svc", s.address, strings.TrimSuffix(short, "."+s.namespace))
	}
	return pick(m.Rand, short, short+".svc", s.address)
}

// means gives what the model says of a call.
func (m *mesh) means(c *client, q *explain.Request) string {
	switch {
	case c.gateway:
		return m.atGateway(c, q)
	case q.Protocol == explain.TCP:
		return m.connected(c, q)
	}
	return m.requested(c, q)
}

// told gives what Explain says of a call, in the model's words.
func told(o *explain.Outcome) string {
	switch {
	case o.Forward != nil:
		shares := map[string]float64{}
		for _, c := range o.Forward.Clusters {
			shares[c.Name] += c.Percent
		}
		return forwarded(shares)
	case o.Closed:
		return "closed"
	case o.Location != "":
		u, err := url.Parse(o.Location)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%d to %s", o.Status, u.Hostname())
	}
	return fmt.Sprint(o.Status)
}
