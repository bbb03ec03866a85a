// Package dns answers the workload's names on the node: those of the mesh from the name table that
// the control plane sends, all others by asking the machine's nameservers.
//
// The local mesh has a nameserver of its own (localnode/dns), for it answers pods without a sidecar, and
// before there is a control plane. What both share is in package wire. Their tables differ: this one has
// short names, wildcards and search domains of one workload, and before its first table no name is known not
// to exist; that one is what a cluster's nameserver has, with SRV and CNAME.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pilothouse-mesh/pilothouse/agent/dns/wire"
	"github.com/pilothouse-mesh/pilothouse/proto/nds"
)

// Config is what a Server needs.
type Config struct {
	// Addresses to listen on, UDP and TCP, host:port; "127.0.0.1:15053" when empty.
	Addresses []string
	// Namespace of the workload; the short name of a service in it resolves.
	Namespace string
	// Domain of Kubernetes services, "cluster.local" when empty.
	Domain string
	// Search domains of the workload; the first one gets a CNAME chain. See wire.ResolvConf.
	Search []string
	// Nameservers that other names are forwarded to, host:port.
	Nameservers []string
	// ForwardTimeout of one nameserver, 5 s when zero.
	ForwardTimeout time.Duration
	// ForwardParallel asks all nameservers at once in place of one after the other.
	ForwardParallel bool
	// Logger must not be nil.
	Logger *slog.Logger
	// Registry takes the metrics dns_*; nil for none.
	Registry prometheus.Registerer
}

// maxForwards bounds the queries that wait for a nameserver; more are refused at once.
const maxForwards = 512

// Server is the node's nameserver.
type Server struct {
	cfg      Config
	metrics  *metrics
	table    atomic.Pointer[table]
	forwards chan struct{}
}

// New gives a Server; Run makes it listen.
func New(cfg Config) *Server {
	if len(cfg.Addresses) == 0 {
		cfg.Addresses = []string{"127.0.0.1:15053"}
	}
	if cfg.Domain == "" {
		cfg.Domain = "cluster.local"
	}
	if cfg.ForwardTimeout == 0 {
		cfg.ForwardTimeout = 5 * time.Second
	}
	s := &Server{cfg: cfg, metrics: newMetrics(cfg.Registry), forwards: make(chan struct{}, maxForwards)}
	s.cfg.Nameservers = withoutSelf(cfg.Nameservers, cfg.Addresses, cfg.Logger)
	return s
}

// withoutSelf leaves out nameservers that are this server, which would ask itself for ever.
func withoutSelf(nameservers, own []string, log *slog.Logger) []string {
	var out []string
	for _, ns := range nameservers {
		self := false
		for _, a := range own {
			self = self || a == ns
		}
		if self {
			log.Warn("DNS: the agent itself is no nameserver to forward to", "nameserver", ns)
			continue
		}
		out = append(out, ns)
	}
	return out
}

// Update replaces the whole name table; t must not be changed afterwards.
func (s *Server) Update(t *nds.NameTable) {
	s.table.Store(newTable(t, s.cfg.Namespace, s.cfg.Search))
}

// HasTable says whether a name table has arrived.
func (s *Server) HasTable() bool { return s.table.Load() != nil }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	servers, err := s.listen(ctx)
	if err != nil {
		return err
	}
	return wire.Serve(ctx, servers...)
}

// listen binds every address for UDP and TCP before any is served.
func (s *Server) listen(ctx context.Context) (servers []*dns.Server, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(servers))
			servers = nil
		}
	}()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) { s.handle(ctx, w, req) })
	var lc net.ListenConfig
	for _, address := range s.cfg.Addresses {
		pc, err := lc.ListenPacket(ctx, "udp", address)
		if err != nil {
			return servers, fmt.Errorf("DNS: %w", err)
		}
		servers = append(servers, &dns.Server{PacketConn: pc, Handler: handler, UDPSize: dns.MaxMsgSize})
		// The address as bound, so that port 0 means the same port twice.
		l, err := lc.Listen(ctx, "tcp", pc.LocalAddr().String())
		if err != nil {
			return servers, fmt.Errorf("DNS: %w", err)
		}
		servers = append(servers, &dns.Server{Listener: l, Handler: handler})
	}
	return servers, nil
}

func closeAll(servers []*dns.Server) error {
	var errs []error
	for _, srv := range servers {
		if srv.PacketConn != nil {
			errs = append(errs, srv.PacketConn.Close())
		} else {
			errs = append(errs, srv.Listener.Close())
		}
	}
	return errors.Join(errs...)
}

// handle answers one query.
func (s *Server) handle(ctx context.Context, w dns.ResponseWriter, req *dns.Msg) {
	s.metrics.requests.Inc()
	tcp := wire.ByTCP(w)
	resp := s.answer(ctx, req, tcp)
	wire.Fit(req, resp, tcp)
	if err := w.WriteMsg(resp); err != nil {
		s.cfg.Logger.Debug("DNS: answer not sent", "client", w.RemoteAddr().String(), "error", err)
	}
}

// answer decides: from the table, or from a nameserver.
func (s *Server) answer(ctx context.Context, req *dns.Msg, tcp bool) *dns.Msg {
	if req.Response || len(req.Question) != 1 {
		return failure(req, dns.RcodeFormatError)
	}
	if req.Opcode != dns.OpcodeQuery {
		return failure(req, dns.RcodeNotImplemented)
	}
	t := s.table.Load()
	if t == nil {
		// Before the first table nobody knows which names are the mesh's: "not yet" is true,
		// another nameserver's "there is no such name" would be remembered.
		return failure(req, dns.RcodeServerFailure)
	}
	q := req.Question[0]
	if q.Qclass == dns.ClassINET && (q.Qtype == dns.TypeA || q.Qtype == dns.TypeAAAA) {
		if answers, ok := t.lookup(q.Name, q.Qtype, rand.Shuffle); ok {
			resp := new(dns.Msg).SetReply(req)
			resp.Authoritative, resp.RecursionAvailable = true, true
			resp.Answer = answers
			return resp
		}
	}
	return s.forward(ctx, req, tcp)
}

func failure(req *dns.Msg, rcode int) *dns.Msg {
	resp := new(dns.Msg).SetRcode(req, rcode)
	resp.RecursionAvailable = true
	return resp
}
