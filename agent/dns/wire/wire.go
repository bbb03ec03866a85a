// Package wire is what nameservers have in common, whatever their tables are: how they are served, how large
// an answer may be, and where a machine's own nameservers stand. The agent's nameserver (agent/dns) and that
// of the local mesh (localnode/dns) are built on it.
package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// stopTimeout is how long answers under way may take when a server ends.
const stopTimeout = time.Second

// Serve answers on the sockets of all servers until ctx ends, or one of them fails, and closes them.
func Serve(ctx context.Context, servers ...*dns.Server) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, srv := range servers {
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		ended := make(chan struct{})
		g.Go(func() error {
			defer close(ended)
			return srv.ActivateAndServe()
		})
		g.Go(func() error {
			select {
			case <-started:
			case <-ended: // it did not start
				return nil
			}
			<-ctx.Done()
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			if err := srv.ShutdownContext(stop); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("DNS: %w", err)
	}
	return nil
}

// Fit makes an answer as large as the client can take, and speaks EDNS when the client does (RFC 6891).
func Fit(req, resp *dns.Msg, tcp bool) {
	size := dns.MinMsgSize
	if opt := req.IsEdns0(); opt != nil {
		size = max(size, int(opt.UDPSize()))
		if resp.IsEdns0() == nil {
			resp.SetEdns0(uint16(min(size, dns.DefaultMsgSize)), opt.Do())
		}
	}
	if tcp {
		size = dns.MaxMsgSize
	}
	resp.Truncate(size)
}

// ByTCP tells whether a query came over TCP.
func ByTCP(w dns.ResponseWriter) bool {
	_, tcp := w.RemoteAddr().(*net.TCPAddr)
	return tcp
}

// ResolvConf reads the nameservers (as host:port) and search domains of a resolv.conf.
func ResolvConf(path string) (nameservers, search []string, err error) {
	c, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("resolv.conf: %w", err)
	}
	for _, host := range c.Servers {
		nameservers = append(nameservers, net.JoinHostPort(host, c.Port))
	}
	return nameservers, c.Search, nil
}
