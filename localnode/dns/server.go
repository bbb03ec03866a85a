package dns

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/pilothouse-mesh/pilothouse/agent/dns/wire"
)

// Server answers from its present table.
type Server struct {
	table atomic.Pointer[Table]
	// upstream are the host's nameservers as host:port; none means that other names do not exist.
	upstream []string
	log      *slog.Logger
}

// NewServer gives a server with an empty table.
func NewServer(upstream []string, log *slog.Logger) *Server {
	s := &Server{upstream: upstream, log: log}
	s.table.Store(NewTable("", nil))
	return s
}

// Set replaces the table.
func (s *Server) Set(t *Table) { s.table.Store(t) }

// Serve answers on both sockets until ctx ends, and closes them.
func (s *Server) Serve(ctx context.Context, l net.Listener, pc net.PacketConn) error {
	return wire.Serve(ctx, &dns.Server{Listener: l, Handler: s}, &dns.Server{PacketConn: pc, Handler: s})
}

// ServeDNS implements dns.Handler.
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	network, tcp := "udp", wire.ByTCP(w)
	if tcp {
		network = "tcp"
	}
	reply := s.Answer(q, network)
	wire.Fit(q, reply, tcp)
	if err := w.WriteMsg(reply); err != nil {
		s.log.Debug("a DNS answer was not taken", slog.Any("error", err))
	}
}

// Answer gives the reply to one question that came by network, udp or tcp.
func (s *Server) Answer(q *dns.Msg, network string) *dns.Msg {
	reply := new(dns.Msg)
	if len(q.Question) != 1 || q.Opcode != dns.OpcodeQuery {
		return reply.SetRcode(q, dns.RcodeNotImplemented)
	}
	reply.SetReply(q)
	reply.Authoritative, reply.RecursionAvailable = true, true
	if s.table.Load().answer(reply, q.Question[0]) {
		return reply
	}
	if len(s.upstream) > 0 {
		if r, err := s.forward(q, network); err == nil {
			return r
		}
		return reply.SetRcode(q, dns.RcodeServerFailure)
	}
	reply.Rcode = dns.RcodeNameError
	return reply
}

const forwardTimeout = 3 * time.Second

// forward asks the host's nameservers from the host's own network, one after the other.
func (s *Server) forward(q *dns.Msg, network string) (*dns.Msg, error) {
	client := &dns.Client{Net: network, Timeout: forwardTimeout}
	err := errors.New("no nameserver is known")
	for _, addr := range s.upstream {
		var r *dns.Msg
		if r, _, err = client.Exchange(q, addr); err == nil {
			return r, nil
		}
	}
	return nil, err
}
