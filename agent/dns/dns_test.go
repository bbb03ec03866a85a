package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/pilothouse-mesh/pilothouse/agent/dns/wire"
	"github.com/pilothouse-mesh/pilothouse/proto/nds"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testTable() *nds.NameTable {
	k8s := func(short, ns string, ips ...string) *nds.NameTable_NameInfo {
		return &nds.NameTable_NameInfo{Ips: ips, Registry: kubernetes, Shortname: short, Namespace: ns}
	}
	return &nds.NameTable{Table: map[string]*nds.NameTable_NameInfo{
		"reviews.default.svc.cluster.local": k8s("reviews", "default", "10.0.0.1"),
		"ratings.other.svc.cluster.local":   k8s("ratings", "other", "10.0.0.2", "fd00::2"),
		"api.example.com":                   {Ips: []string{"240.240.0.1", "not an address"}, Registry: "External"},
		"*.example.com":                     {Ips: []string{"240.240.0.2"}, Registry: "External"},
		"*.deep.example.com":                {Ips: []string{"240.240.0.3"}, Registry: "External"},
		"v6.example.org":                    {Ips: []string{"fd00::6"}, Registry: "External"},
	}}
}

func noShuffle(int, func(i, j int)) {}

// brief writes an answer as "CNAME target, A ip".
func brief(rrs []dns.RR) string {
	var out []string
	for _, rr := range rrs {
		switch rr := rr.(type) {
		case *dns.CNAME:
			out = append(out, "CNAME "+rr.Target)
		case *dns.A:
			out = append(out, rr.A.String())
		case *dns.AAAA:
			out = append(out, rr.AAAA.String())
		}
	}
	return strings.Join(out, ", ")
}

func TestLookup(t *testing.T) {
	table := newTable(testTable(), "default", []string{"default.svc.cluster.local", "svc.cluster.local"})
	for name, want := range map[string]string{
		"reviews.default.svc.cluster.local.":         "10.0.0.1",
		"Reviews.Default.SVC.cluster.local.":         "10.0.0.1",
		"reviews.":                                   "10.0.0.1",
		"reviews.default.":                           "10.0.0.1",
		"reviews.default.svc.":                       "10.0.0.1",
		"ratings.":                                   "unknown", // another namespace's
		"ratings.other.":                             "10.0.0.2",
		"ratings.other.svc.":                         "10.0.0.2",
		"ratings.other.default.svc.cluster.local.":   "CNAME ratings.other., 10.0.0.2",
		"api.example.com.":                           "240.240.0.1",
		"api.example.com.default.svc.cluster.local.": "CNAME api.example.com., 240.240.0.1",
		"any.example.com.":                           "240.240.0.2",
		"a.b.example.com.":                           "240.240.0.2",
		"a.deep.example.com.":                        "240.240.0.3",
		"any.example.com.default.svc.cluster.local.": "CNAME any.example.com., 240.240.0.2",
		"example.com.":                               "unknown", // a wildcard does not cover its parent
		"v6.example.org.":                            "",        // known, but no IPv4: not "no such name"
		"nowhere.":                                   "unknown",
		".":                                          "unknown",
		"default.svc.cluster.local.":                 "unknown",
	} {
		rrs, ok := table.lookup(name, dns.TypeA, noShuffle)
		got := brief(rrs)
		if !ok {
			got = "unknown"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if rrs, _ := table.lookup("ratings.other.", dns.TypeAAAA, noShuffle); brief(rrs) != "fd00::2" {
		t.Errorf("AAAA: %v", rrs)
	}
}

// start runs a server on loopback and gives its address.
func start(t *testing.T, s *Server) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	servers, err := s.listen(ctx)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- wire.Serve(ctx, servers...) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return servers[0].PacketConn.LocalAddr().String()
}

func upstream(t *testing.T, answer dns.HandlerFunc) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: answer}
	started, done := make(chan struct{}), make(chan error, 1)
	srv.NotifyStartedFunc = func() { close(started) }
	go func() { done <- srv.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		_ = srv.Shutdown()
		<-done
	})
	return pc.LocalAddr().String()
}

// newServer makes a server whose port is free for UDP and TCP: one that the kernel chooses for the first may be
// taken for the second.
func newServer(t testing.TB, nameservers ...string) *Server {
	t.Helper()
	return New(Config{
		Addresses: []string{fmt.Sprintf("127.0.0.1:%d", envoytest.FreePort(t))}, Namespace: "default", Nameservers: nameservers,
		Search: []string{"default.svc.cluster.local"}, ForwardTimeout: 5 * time.Second,
		Logger: slog.New(slog.DiscardHandler),
	})
}

func ask(t *testing.T, network, address, name string, qtype uint16, size uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, qtype)
	if size > 0 {
		m.SetEdns0(size, false)
	}
	client := dns.Client{Net: network, UDPSize: dns.MaxMsgSize}
	resp, _, err := client.Exchange(m, address)
	if err != nil {
		t.Fatalf("%s %s: %v", network, name, err)
	}
	return resp
}

func TestServe(t *testing.T) {
	s := newServer(t)
	address := start(t, s)
	if resp := ask(t, "udp", address, "reviews.", dns.TypeA, 0); resp.Rcode != dns.RcodeServerFailure {
		t.Errorf("before the first table: %v", resp)
	}
	table := testTable()
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("10.1.0.%d", i))
	}
	table.Table["many.example.net"] = &nds.NameTable_NameInfo{Ips: many}
	s.Update(table)
	for _, network := range []string{"udp", "tcp"} {
		resp := ask(t, network, address, "reviews.", dns.TypeA, 0)
		if brief(resp.Answer) != "10.0.0.1" || resp.Answer[0].Header().Ttl != 30 || resp.IsEdns0() != nil {
			t.Errorf("%s: %v", network, resp)
		}
	}
	if resp := ask(t, "udp", address, "v6.example.org.", dns.TypeA, 0); resp.Rcode != dns.RcodeSuccess || len(resp.Answer) > 0 {
		t.Errorf("other family: %v", resp)
	}
	if resp := ask(t, "udp", address, "nowhere.", dns.TypeA, 0); resp.Rcode != dns.RcodeServerFailure {
		t.Errorf("no nameserver: %v", resp)
	}
	if resp := ask(t, "udp", address, "many.example.net.", dns.TypeA, 0); !resp.Truncated || wireSize(t, resp) > 512 {
		t.Errorf("plain UDP: truncated %v, %d bytes", resp.Truncated, wireSize(t, resp))
	}
	if resp := ask(t, "udp", address, "many.example.net.", dns.TypeA, 8192); resp.Truncated || len(resp.Answer) != 200 || resp.IsEdns0() == nil {
		t.Errorf("EDNS: truncated %v, %d answers", resp.Truncated, len(resp.Answer))
	}
	if resp := ask(t, "tcp", address, "many.example.net.", dns.TypeA, 0); resp.Truncated || len(resp.Answer) != 200 {
		t.Errorf("TCP: truncated %v, %d answers", resp.Truncated, len(resp.Answer))
	}
}

// wireSize is the size of a message in bytes, compressed as it was sent.
func wireSize(t *testing.T, m *dns.Msg) int {
	t.Helper()
	m.Compress = true
	data, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return len(data)
}

func TestForward(t *testing.T) {
	good := upstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		resp := new(dns.Msg).SetReply(m)
		resp.Answer = []dns.RR{&dns.A{Hdr: header(m.Question[0].Name, dns.TypeA), A: []byte{192, 0, 2, 1}}}
		_ = w.WriteMsg(resp)
	})
	bad := upstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(m, dns.RcodeServerFailure))
	})
	for _, parallel := range []bool{false, true} {
		s := newServer(t, bad, good)
		s.cfg.ForwardParallel = parallel
		s.Update(testTable())
		address := start(t, s)
		for range 8 {
			if resp := ask(t, "udp", address, "www.example.net.", dns.TypeA, 0); brief(resp.Answer) != "192.0.2.1" {
				t.Errorf("parallel %v: %v", parallel, resp)
			}
		}
	}
	s := newServer(t, bad)
	s.Update(testTable())
	if resp := ask(t, "udp", start(t, s), "www.example.net.", dns.TypeA, 0); resp.Rcode != dns.RcodeServerFailure {
		t.Errorf("all fail: %v", resp)
	}
}

// A silent nameserver must not hold the query longer than its timeout, nor the end of the agent.
func TestSilentNameserver(t *testing.T) {
	silent := upstream(t, func(dns.ResponseWriter, *dns.Msg) {})
	s := newServer(t, silent)
	s.cfg.ForwardTimeout = 50 * time.Millisecond
	s.Update(testTable())
	if resp := ask(t, "udp", start(t, s), "www.example.net.", dns.TypeA, 0); resp.Rcode != dns.RcodeServerFailure {
		t.Errorf("%v", resp)
	}
}

func TestNotItsOwnNameserver(t *testing.T) {
	s := New(Config{
		Addresses: []string{"127.0.0.1:15053"}, Nameservers: []string{"127.0.0.1:15053", "127.0.0.1:53"},
		Logger: slog.New(slog.DiscardHandler),
	})
	if len(s.cfg.Nameservers) != 1 || s.cfg.Nameservers[0] != "127.0.0.1:53" {
		t.Errorf("nameservers = %v", s.cfg.Nameservers)
	}
}

func FuzzAnswer(f *testing.F) {
	q, _ := new(dns.Msg).SetQuestion("reviews.", dns.TypeA).Pack()
	f.Add(q)
	q, _ = new(dns.Msg).SetQuestion("a.example.com.default.svc.cluster.local.", dns.TypeAAAA).SetEdns0(4096, true).Pack()
	f.Add(q)
	s := newServer(f)
	s.Update(testTable())
	f.Fuzz(func(t *testing.T, data []byte) {
		req := new(dns.Msg)
		if req.Unpack(data) != nil {
			return
		}
		resp := s.answer(context.Background(), req, false)
		wire.Fit(req, resp, false)
		if _, err := resp.Pack(); err != nil {
			t.Errorf("%v\nis answered by what cannot be sent: %v\n%v", req, err, resp)
		}
		if resp.Id != req.Id || !resp.Response {
			t.Errorf("not an answer: %v", resp)
		}
	})
}
