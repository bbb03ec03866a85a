package model

import "testing"

// A number may stand for a port of UDP, which proxies do not serve, and for one that they serve.
func TestPortsOfUDPAreNoPorts(t *testing.T) {
	udp := ServicePort{Name: "quic", Port: 443, Protocol: ProtocolUDP}
	web := ServicePort{Name: "web", Port: 443, Protocol: ProtocolHTTP}
	svc := Service{Ports: []ServicePort{udp, web, {Name: "dns", Port: 53, Protocol: ProtocolUDP}}}
	if p := svc.PortByNumber(443); p == nil || p.Name != "web" {
		t.Errorf("443 is %v", p)
	}
	if p := svc.PortByNumber(53); p != nil {
		t.Errorf("53 is %v", p)
	}
	if p := svc.OnlyPort(); p == nil || p.Name != "web" {
		t.Errorf("the only port is %v", p)
	}
	svc.Ports = append(svc.Ports, ServicePort{Name: "other", Port: 80})
	if p := svc.OnlyPort(); p != nil {
		t.Errorf("the only one of two ports is %v", p)
	}
}
