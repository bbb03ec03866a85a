package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/agent/until"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

// dashboardPath is where the control plane has its page for people.
const dashboardPath = "/debug/dashboard/"

func newDashboard(o *options) *cobra.Command {
	at := place{options: o}
	var (
		port      uint16
		namespace string
	)
	cmd := &cobra.Command{
		Use: "dashboard [POD[.NAMESPACE]]", Aliases: []string{"dash", "d"},
		Short: "Serve the control plane's page to this machine's browser, until Ctrl-C",
		Long: `Serve the control plane's page to this machine's browser, until Ctrl-C: who calls whom, the proxies
and what each of them was sent, and what is not in effect. With a pod, the page of its proxy.

The address that is printed has a secret in it, so that nobody else on this machine sees the page.`,
		Args: usage.Args(cobra.MaximumNArgs(1)), ValidArgsFunction: at.completePods,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			m, err := at.reach()
			if err != nil {
				return err
			}
			defer m.close()
			where := ""
			if len(args) == 1 {
				pod, err := m.resolve(ctx, qualified(args[0], namespace))
				if err != nil {
					return err
				}
				where = "proxy?" + url.Values{"proxyID": {pod}}.Encode()
			}
			d, err := openDashboard(ctx, m, port)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), d.url+where)
			return d.serve(ctx)
		},
	}
	cmd.Flags().Uint16Var(&port, "port", 0, "port of 127.0.0.1; 0 for any that is free")
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "default", "namespace of the pod")
	at.register(cmd)
	return cmd
}

// dashboard passes requests of this machine on to the page of a control plane, and to nothing else of it.
type dashboard struct {
	url      string
	listener net.Listener
	handler  http.Handler
	stop     func()
}

// openDashboard opens the port.
func openDashboard(ctx context.Context, m reached, port uint16) (*dashboard, error) {
	transport, target, stop, err := m.page(ctx)
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		stop()
		return nil, fmt.Errorf("serve the page: %w", err)
	}
	below := "/" + rand.Text() + "/"
	return &dashboard{"http://" + l.Addr().String() + below, l, passOn(transport, target, below), stop}, nil
}

// passOn serves the page of a control plane below a path, which is a secret. Host and Sec-Fetch-Site stay what
// the browser said, by which the control plane turns away what other sites' pages ask.
func passOn(transport http.RoundTripper, target, below string) http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport: transport, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", target
			r.Out.URL.Path = dashboardPath + strings.TrimPrefix(r.In.URL.Path, below)
			r.Out.URL.RawPath = ""
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "the control plane does not answer: "+err.Error(), http.StatusBadGateway)
		},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+below, func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, below)
		if name != "" && !fs.ValidPath(name) { // as with "..", which would lead out of the page
			http.NotFound(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	})
	return mux
}

// serve answers until ctx ends.
func (d *dashboard) serve(ctx context.Context) error {
	defer d.stop()
	srv := &http.Server{Handler: d.handler, ReadHeaderTimeout: answerTimeout}
	return until.Done(ctx, func() error { return srv.Serve(d.listener) }, func() { _ = srv.Close() })
}
