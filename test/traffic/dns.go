package traffic

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// dnsPort is where the DNS server of a namespace is, whichever address a resolver asks.
const dnsPort = 15353

// serveDNS answers in a namespace until the test ends.
func serveDNS(t testing.TB, n *envoytest.Namespace, names map[string][]string) {
	t.Helper()
	n.RedirectDNS(t, dnsPort)
	for _, network := range []string{"udp4", "udp6"} {
		conn, err := n.ListenPacket(network, dnsPort)
		if err != nil {
			t.Fatal(err)
		}
		s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(dnsAnswer(q, names)) })}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.ActivateAndServe() // it ends with the connection
		}()
		t.Cleanup(func() {
			conn.Close()
			<-done
		})
	}
}

// dnsAnswer gives the addresses of the family that is asked for.
func dnsAnswer(q *dns.Msg, names map[string][]string) *dns.Msg {
	out := new(dns.Msg).SetReply(q)
	for _, question := range q.Question {
		addresses, known := names[strings.ToLower(strings.TrimSuffix(question.Name, "."))]
		if !known {
			out.Rcode = dns.RcodeNameError
		}
		h := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET, Ttl: 300}
		for _, a := range addresses {
			ip := net.ParseIP(a)
			switch v4 := strings.Contains(a, "."); {
			case v4 && !strings.Contains(a, ":") && question.Qtype == dns.TypeA:
				out.Answer = append(out.Answer, &dns.A{Hdr: h, A: ip})
			case strings.Contains(a, ":") && question.Qtype == dns.TypeAAAA:
				out.Answer = append(out.Answer, &dns.AAAA{Hdr: h, AAAA: ip})
			}
		}
	}
	return out
}

// resolved gives the addresses of an endpoint that is known by its name.
func (c *Call) resolved(endpoint string) []string {
	name, port, err := net.SplitHostPort(endpoint)
	if err != nil || len(c.dns[name]) == 0 {
		return []string{endpoint}
	}
	var out []string
	for _, a := range c.dns[name] {
		if _, err := netip.ParseAddr(a); err == nil {
			out = append(out, net.JoinHostPort(a, port))
		}
	}
	return out
}
