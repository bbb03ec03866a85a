package dns

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/miekg/dns"
)

// forward asks the nameservers in random order, over the protocol that the client used. An answer
// of any other kind than "I failed" counts; when all fail, so does the query.
func (s *Server) forward(ctx context.Context, req *dns.Msg, tcp bool) *dns.Msg {
	select {
	case s.forwards <- struct{}{}:
		defer func() { <-s.forwards }()
	default:
		s.metrics.failures.Inc()
		return failure(req, dns.RcodeServerFailure)
	}
	servers := slices.Clone(s.cfg.Nameservers)
	rand.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	var resp *dns.Msg
	if s.cfg.ForwardParallel {
		resp = s.askAll(ctx, servers, req, tcp)
	} else {
		resp = s.askEach(ctx, servers, req, tcp)
	}
	if resp == nil {
		return failure(req, dns.RcodeServerFailure)
	}
	resp.Id = req.Id
	return resp
}

func (s *Server) askEach(ctx context.Context, servers []string, req *dns.Msg, tcp bool) *dns.Msg {
	for _, server := range servers {
		if resp := s.ask(ctx, server, req, tcp); resp != nil {
			return resp
		}
	}
	return nil
}

// askAll takes the first answer, and has ended the other questions when it returns.
func (s *Server) askAll(ctx context.Context, servers []string, req *dns.Msg, tcp bool) *dns.Msg {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan *dns.Msg)
	for _, server := range servers {
		go func() { answers <- s.ask(ctx, server, req, tcp) }()
	}
	var first *dns.Msg
	for range servers {
		if resp := <-answers; resp != nil && first == nil {
			first = resp
			cancel()
		}
	}
	return first
}

// ask gives nil when the nameserver does not answer, or answers that it failed.
func (s *Server) ask(ctx context.Context, server string, req *dns.Msg, tcp bool) *dns.Msg {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ForwardTimeout)
	defer cancel()
	// miekg/dns ends a read by its deadline only; closing the connection ends it when ctx does.
	client := dns.Client{Net: "udp", Timeout: s.cfg.ForwardTimeout, UDPSize: dns.MaxMsgSize}
	if tcp {
		client.Net = "tcp"
	}
	s.metrics.upstream.Inc()
	resp, err := exchange(ctx, &client, server, req)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			s.cfg.Logger.Debug("DNS: nameserver failed", "nameserver", server, "error", err)
		}
		s.metrics.failures.Inc()
		return nil
	case resp.Rcode == dns.RcodeServerFailure || resp.Rcode == dns.RcodeRefused:
		s.metrics.failures.Inc()
		return nil
	}
	return resp
}

func exchange(ctx context.Context, client *dns.Client, server string, req *dns.Msg) (*dns.Msg, error) {
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer conn.Close()
	question := req.Copy()
	question.Id = dns.Id() // the client's own is known to whoever guesses
	resp, _, err := client.ExchangeWithConnContext(ctx, question, conn)
	if err != nil {
		return nil, err
	}
	if len(resp.Question) != 1 || resp.Question[0] != question.Question[0] {
		return nil, dns.ErrId
	}
	return resp, nil
}
