package dns

import (
	"log/slog"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

func TestAnswer(t *testing.T) {
	s := NewServer(nil, slog.New(slog.DiscardHandler))
	s.Set(NewTable("cluster.local", []Service{
		{Namespace: "default", Name: "web", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Ports: []Port{{Name: "http", Protocol: "tcp", Port: 80}}},
		{
			Namespace: "default", Name: "db", Addresses: []netip.Addr{netip.MustParseAddr("10.0.1.1"), netip.MustParseAddr("10.0.1.2")},
			Hosts: map[string][]netip.Addr{"db-0": {netip.MustParseAddr("10.0.1.1")}},
		},
		{Namespace: "default", Name: "empty"},
		{Namespace: "default", Name: "elsewhere", External: "web.default.svc.cluster.local"},
	}))
	tests := []struct {
		name  string
		kind  uint16
		rcode int
		n     int
	}{
		{"web.default.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, 1},
		{"WEB.default.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, 1},
		{"web.default.svc.cluster.local.", dns.TypeAAAA, dns.RcodeSuccess, 0},
		{"db.default.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, 2},
		{"db-0.db.default.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, 1},
		{"empty.default.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, 0},
		{"_http._tcp.web.default.svc.cluster.local.", dns.TypeSRV, dns.RcodeSuccess, 1},
		{"elsewhere.default.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, 2},
		{"web.default.svc.cluster.local.default.svc.cluster.local.", dns.TypeA, dns.RcodeNameError, 0},
		{"example.com.", dns.TypeA, dns.RcodeNameError, 0},
	}
	for _, tt := range tests {
		r := s.Answer(new(dns.Msg).SetQuestion(tt.name, tt.kind), "udp")
		if r.Rcode != tt.rcode || len(r.Answer) != tt.n {
			t.Errorf("%s %s: %s with %d records, want %s with %d", tt.name, dns.TypeToString[tt.kind],
				dns.RcodeToString[r.Rcode], len(r.Answer), dns.RcodeToString[tt.rcode], tt.n)
		}
	}
}

func TestAnswerRefusesOtherThanQuestions(t *testing.T) {
	s := NewServer(nil, slog.New(slog.DiscardHandler))
	if r := s.Answer(new(dns.Msg), "udp"); r.Rcode != dns.RcodeNotImplemented {
		t.Errorf("no question: %s", dns.RcodeToString[r.Rcode])
	}
}
