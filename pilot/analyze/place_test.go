package analyze

import (
	"testing"

	networking "istio.io/api/networking/v1alpha3"
)

func TestTheServerOfAChain(t *testing.T) {
	server := func(port uint32, tls *networking.ServerTLSSettings, hosts ...string) *networking.Server {
		return &networking.Server{Port: &networking.Port{Number: port}, Tls: tls, Hosts: hosts}
	}
	simple, redirect := &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_SIMPLE}, &networking.ServerTLSSettings{HttpsRedirect: true}
	gw := &networking.Gateway{Servers: []*networking.Server{
		server(80, redirect, "a.example.com"), server(443, simple, "ns/a.example.com"), server(444, simple, "a.example.com"),
		server(9000, nil, "*"), server(81, nil, "a.example.com"), server(81, nil, "b.example.com"),
	}}
	ports := map[uint16]uint16{80: 8080, 443: 8443}
	for name, c := range map[string]struct {
		port  uint16
		names []string
		want  string
	}{
		"a redirect, by the Service's target":  {8080, nil, "spec.servers[0]"},
		"names, by the Service's target":       {8443, []string{"a.example.com"}, "spec.servers[1]"},
		"the same names of another port":       {444, []string{"a.example.com"}, "spec.servers[2]"},
		"its own port":                         {9000, nil, "spec.servers[3]"},
		"a port of no server":                  {7000, nil, ""},
		"names that no server of the port has": {8443, []string{"b.example.com"}, ""},
		"several in the clear":                 {81, nil, ""},
	} {
		if got := serverOf(gw, ports, c.port, c.names); got != c.want {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
}

func TestPortsOfAConnectedProxy(t *testing.T) {
	r := runningOf(t, runningShop)
	of, err := r.Translate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := proxyOf(of, "shop"); len(p.Ports) != 1 || p.Ports[80] != 8080 {
		t.Errorf("ports of its Service lead to %v", p.Ports)
	}
}
