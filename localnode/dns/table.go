// Package dns answers the names of a mesh's Services for pods without a sidecar and for the
// agents: at once, from a table that is replaced as a whole. Any other name does not exist, unless
// the mesh lets its pods out, when the question is passed on. What it shares with the agent's nameserver is in
// agent/dns/wire; package agent/dns says why there are two.
package dns

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Service is what the table is made of.
type Service struct {
	Namespace, Name string
	Addresses       []netip.Addr // the cluster IP, or the pods of a headless Service
	External        string       // the name that an ExternalName Service stands for
	Ports           []Port
	// Hosts are pods of the Service with names of their own, by hostname.
	Hosts map[string][]netip.Addr
}

// Port is a named port of a Service.
type Port struct {
	Name     string
	Protocol string // tcp or udp
	Port     uint16
}

// Table holds the answers, by names in lower case with their last dot. It is immutable.
type Table struct {
	hosts  map[string][]netip.Addr
	alias  map[string]string
	server map[string]srv
}

type srv struct {
	target string
	port   uint16
}

// NewTable makes the answers for services of a domain, e.g. cluster.local.
func NewTable(domain string, services []Service) *Table {
	t := &Table{hosts: map[string][]netip.Addr{}, alias: map[string]string{}, server: map[string]srv{}}
	for _, s := range services {
		name := strings.ToLower(dns.Fqdn(s.Name + "." + s.Namespace + ".svc." + domain))
		if s.External != "" {
			t.alias[name] = strings.ToLower(dns.Fqdn(s.External))
			continue
		}
		t.hosts[name] = s.Addresses
		for host, addrs := range s.Hosts {
			t.hosts[strings.ToLower(host)+"."+name] = addrs
		}
		for _, p := range s.Ports {
			if p.Name != "" {
				t.server["_"+p.Name+"._"+p.Protocol+"."+name] = srv{target: name, port: p.Port}
			}
		}
	}
	return t
}

// Names gives every host name that has an address, sorted; for tests and debugging.
func (t *Table) Names() []string { return slices.Sorted(maps.Keys(t.hosts)) }

// ttl of the answers in seconds: short, for the table changes with its pods.
const ttl = 5

// answer fills the reply with what the table knows; known is false when it knows nothing of the
// name, which is not the same as knowing no record of that type.
func (t *Table) answer(reply *dns.Msg, q dns.Question) (known bool) {
	name := strings.ToLower(q.Name)
	header := func(name string, kind uint16) dns.RR_Header {
		return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
	}
	if target, ok := t.alias[name]; ok {
		reply.Answer = append(reply.Answer, &dns.CNAME{Hdr: header(q.Name, dns.TypeCNAME), Target: target})
		if addrs, ok := t.hosts[target]; ok {
			reply.Answer = append(reply.Answer, records(addrs, q.Qtype, header(target, q.Qtype))...)
		}
		return true
	}
	if s, ok := t.server[name]; ok {
		if q.Qtype == dns.TypeSRV {
			reply.Answer = append(reply.Answer, &dns.SRV{Hdr: header(q.Name, dns.TypeSRV), Weight: 100, Port: s.port, Target: s.target})
			reply.Extra = append(reply.Extra, records(t.hosts[s.target], dns.TypeA, header(s.target, dns.TypeA))...)
		}
		return true
	}
	addrs, ok := t.hosts[name]
	if ok {
		reply.Answer = append(reply.Answer, records(addrs, q.Qtype, header(q.Name, q.Qtype))...)
	}
	return ok
}

func records(addrs []netip.Addr, kind uint16, h dns.RR_Header) []dns.RR {
	var out []dns.RR
	for _, a := range addrs {
		switch {
		case kind == dns.TypeA && a.Is4():
			out = append(out, &dns.A{Hdr: h, A: a.AsSlice()})
		case kind == dns.TypeAAAA && a.Is6():
			out = append(out, &dns.AAAA{Hdr: h, AAAA: a.AsSlice()})
		}
	}
	return out
}
