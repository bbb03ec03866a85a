package discovery

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pilothouse-mesh/pilothouse/pilot/debug"
)

// web is the HTTP servers with their listeners.
type web struct {
	servers   []*http.Server
	listeners []net.Listener
}

// listenHTTP opens the HTTP ports.
func (p *plane) listenHTTP() (*web, error) {
	opts := p.debugOptions()
	opts.Page = p.newPage()
	pages := debug.New(opts)
	w := &web{}
	for _, port := range []struct {
		flag, addr string
		handler    http.Handler
	}{
		{"--httpAddr", p.cfg.HTTPAddr, pages.HTTP()},
		{"--monitoringAddr", p.cfg.MonitoringAddr, pages.Monitoring()},
	} {
		if port.addr == "" {
			continue
		}
		l, err := net.Listen("tcp", port.addr)
		if err != nil {
			w.close()
			return nil, oneSentence(port.flag, port.addr, err)
		}
		w.listeners = append(w.listeners, p.connections.guard(l))
		w.servers = append(w.servers, newHTTPServer(port.handler))
	}
	return w, nil
}

// newHTTPServer gives a server that waits for nobody for ever. A profile may take minutes, in which
// its request would be cancelled at the end of ReadTimeout too.
func newHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 5 * time.Minute,
		WriteTimeout: 5 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeaders,
	}
}

func (w *web) close() {
	for _, l := range w.listeners {
		_ = l.Close() // nothing was served on it
	}
}

// serve serves until ctx ends.
func (w *web) serve(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, s := range w.servers {
		group.Go(func() error {
			if err := s.Serve(w.listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
			defer cancel()
			if err := s.Shutdown(stop); err != nil {
				return s.Close()
			}
			return nil
		})
	}
	return group.Wait()
}
