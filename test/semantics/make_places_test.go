package semantics

import (
	"fmt"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// Random places of traffic: the servers of Gateways, and what Sidecars let in.

func (m *maker) gateway(i int) {
	g := &gateway{m.meta(i), &networking.Gateway{Selector: map[string]string{"istio": "ingressgateway"}}}
	for j := range 1 + m.IntN(3) {
		s := m.server(j)
		s.Bind = pick(m.Rand, "", "", "", gatewayAddress, "10.3.0.9")
		g.Servers = append(g.Servers, s)
	}
	m.mesh.gateways = append(m.mesh.gateways, g)
}

func (m *maker) server(i int) *networking.Server {
	with := func(port uint32, protocol string, tls *networking.ServerTLSSettings, hosts ...string) *networking.Server {
		s := &networking.Server{Port: &networking.Port{Number: port, Name: fmt.Sprintf("p%d", i), Protocol: protocol}, Tls: tls}
		for _, h := range some(m.Rand, 2, hosts...) {
			s.Hosts = append(s.Hosts, pick(m.Rand, "", "", "", "./", "*/", "default/", "other/")+h)
		}
		return s
	}
	of := func(port uint32, protocol string, tls *networking.ServerTLSSettings) *networking.Server {
		return with(port, protocol, tls, "*", "*.example.com", "a.example.com", "*.y.example.com", "x.y.example.com", "www.test")
	}
	ended := &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_SIMPLE, ServerCertificate: "/etc/cert.pem", PrivateKey: "/etc/key.pem"}
	switch m.IntN(11) {
	case 0, 1, 2:
		return of(80, pick(m.Rand, "HTTP", "HTTP", "HTTP2", "GRPC"), nil)
	case 3:
		s := of(80, "HTTP", &networking.ServerTLSSettings{HttpsRedirect: true})
		for i, h := range s.Hosts { // of a host with a namespace Istio redirects nobody but where a VirtualService has it
			s.Hosts[i] = h[strings.Index(h, "/")+1:]
		}
		return s
	case 4:
		return of(8080, pick(m.Rand, "HTTP", "HTTP2", "GRPC"), nil)
	case 5, 6:
		return of(443, "HTTPS", ended)
	case 7:
		return of(443, "TLS", &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_PASSTHROUGH})
	case 8:
		return of(443, "TLS", ended)
	case 9:
		return with(443, "TLS", &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_AUTO_PASSTHROUGH}, "*", "*"+cluLocal, "*.default"+cluLocal, "shop.default"+cluLocal, "*.example.com")
	}
	return of(pick(m.Rand, uint32(6000), 6000, 80), "TCP", nil)
}

// sidecar makes one that the namespace other sees less by: of what listeners with a port have for themselves, and of what
// the one without leaves. One with an address is alone.
func (m *maker) sidecar() {
	s := &networking.Sidecar{}
	bind := pick(m.Rand, "", "", "", boundAddress)
	if m.IntN(2) == 0 {
		for i, port := range some(m.Rand, 2, uint32(80), 9080, 8000, 6000) {
			protocol := "HTTP"
			if port == 6000 {
				protocol = "TCP"
			}
			l := &networking.IstioEgressListener{Port: &networking.SidecarPort{Number: port, Name: fmt.Sprintf("p%d", i), Protocol: protocol}, Hosts: m.imports()}
			if protocol == "HTTP" {
				l.Bind = bind
			}
			s.Egress = append(s.Egress, l)
		}
	}
	if len(s.Egress) == 0 || bind == "" && m.IntN(3) > 0 {
		s.Egress = append(s.Egress, &networking.IstioEgressListener{Hosts: m.imports()})
	}
	m.mesh.sidecars = append(m.mesh.sidecars, &sidecar{meta{"other", "scope", 0}, s})
}

// boundAddress is that of egress listeners that have one.
const boundAddress = "127.0.0.9"

// imports makes the hosts of an egress listener, some of which may be taken out again.
func (m *maker) imports() []string {
	out := some(m.Rand, 3, "./*", "default/*", "default/reviews.default"+cluLocal, "*/api.example.com", "default/*.example.com", "*/*.other"+cluLocal, rootNamespace+"/*", "*/*")
	if m.IntN(3) == 0 {
		out = append(out, some(m.Rand, 2, "~other/*", "~./*.other"+cluLocal, "~default/shop.default"+cluLocal, "~default/*.example.com", "~/api.example.com", "~/shop.default"+cluLocal, "~*/*.wild.example.com", "~/*")...)
	}
	return out
}
