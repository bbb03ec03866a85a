package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
)

// explanation is one call of explain.
type explanation struct {
	*options
	from, namespace, file, output string
	method, sni, to, source       string
	headers, alpn, claims         []string
	inbound, mtls                 bool
}

func newExplain(o *options) *cobra.Command {
	e := &explanation{options: o}
	cmd := &cobra.Command{
		Use: "explain URL [DIR|FILE...]", Short: "Tell what happens to a request, step by step, and why",
		Long: `Tell what happens to a request: listener, filter chain, virtual host, route and why earlier
ones did not match, cluster and endpoints, each with the object that it comes from.

What is followed is the configuration of one Envoy: that of the pod of --from in a running
mesh, that which it would have by the objects in directories and files, without a mesh, or a
saved config_dump (-f; with include_eds it has endpoints).

The URL's scheme says what the client speaks: http, http1.0, h2c, grpc, https (HTTP in TLS), tcp,
tls (bytes in TLS). A gateway is asked as --from too, on the port of the URL.

Exit codes: 0 the request goes to a server, or the configuration itself answers it (a redirect,
a direct response, an injected fault); 80 no server gets it (404, 502, 503, or the end of the
connection); 1 a file or a proxy cannot be read; 2 wrong usage.`,
		Example: "  pilotctl explain --from productpage-v1 http://reviews:9080/reviews/0 -H 'end-user: jason'\n  pilotctl explain --from productpage-v1 http://reviews:9080/ samples/bookinfo\n  pilotctl explain -f dump.json http://reviews:9080/",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return e.run(cmd, args[0], args[1:]) },
	}
	f := cmd.Flags()
	f.StringVar(&e.from, "from", "", "the pod (or in files the workload) whose proxy is asked, as POD[.NAMESPACE]")
	f.StringVarP(&e.namespace, "namespace", "n", "default", "namespace of --from")
	f.StringVarP(&e.file, "file", "f", "", "a saved config_dump of Envoy; - is standard input")
	f.StringVarP(&e.output, "output", "o", "steps", "steps, json or yaml")
	f.StringVarP(&e.method, "method", "X", "GET", "method")
	f.StringArrayVarP(&e.headers, "header", "H", nil, `header, as "name: value"; Host is the request's host`)
	f.StringArrayVar(&e.claims, "claim", nil, "name=value of the request's token, which is valid, the value as JSON or text; may be given several times")
	f.StringVar(&e.sni, "sni", "", "name in the TLS handshake, if not the URL's host")
	f.StringArrayVar(&e.alpn, "alpn", nil, "protocol that the TLS handshake offers")
	f.BoolVar(&e.mtls, "mtls", false, "the client shows a certificate of the mesh")
	f.BoolVar(&e.inbound, "inbound", false, "the request comes to the pod of --from, in place of going out from it")
	f.StringVar(&e.to, "to", "", "IP address that it is sent to, if not that of the URL's host")
	f.StringVar(&e.source, "source", "", "IP address of the client")
	completion(cmd, "output", words("steps", "json", "yaml"))
	return cmd
}

func (e *explanation) run(cmd *cobra.Command, target string, files []string) error {
	if err := outputIs(e.output, "steps", "json", "yaml"); err != nil {
		return err
	}
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		return usageError(fmt.Errorf("%q is no URL as http://reviews:9080/path", target))
	}
	config, router, err := e.config(cmd.Context(), cmd.InOrStdin(), files)
	if err != nil {
		return err
	}
	r, err := e.request(u, config, router)
	if err != nil {
		return usageError(err)
	}
	a := config.Explain(r)
	if e.output == "steps" {
		err = a.Print(cmd.OutOrStdout())
	} else {
		err = printDocument(cmd.OutOrStdout(), proxyconfig.Format(e.output), a)
	}
	if err == nil && a.Outcome.Refused {
		return &exitError{code: exitUnserved}
	}
	return err
}

// config gives what the proxy runs, and whether it is a gateway's.
func (e *explanation) config(ctx context.Context, stdin io.Reader, files []string) (c *explain.Config, router bool, err error) {
	var data []byte
	switch {
	case e.file != "" && len(files) > 0:
		return nil, false, usageError(errors.New("a saved dump and files exclude each other"))
	case len(files) > 0:
		return e.translated(ctx, files)
	case e.file == "-":
		data, err = io.ReadAll(stdin)
	case e.file != "":
		data, err = os.ReadFile(e.file)
	case e.from == "":
		return nil, false, usageError(errors.New("name a pod with --from, a saved dump with -f, or files"))
	default:
		data, err = (&proxyConfig{place: place{options: e.options}}).admin(ctx, qualified(e.from, e.namespace), "GET", dumpPath)
	}
	if err != nil {
		return nil, false, err
	}
	if c, err = explain.ParseDump(data); err != nil {
		return nil, false, err
	}
	return c, !c.Captures(), nil
}

// translated gives what the workload of --from would run by files; the first one's if none is named.
func (e *explanation) translated(ctx context.Context, names []string) (*explain.Config, bool, error) {
	t, err := translate(ctx, names...)
	if err != nil {
		return nil, false, err
	}
	want, all := qualified(e.from, e.namespace), []string(nil)
	for _, p := range t.Proxies {
		name := p.Name + "." + p.Namespace
		all = append(all, name)
		if e.from != "" && name != want {
			continue
		}
		e.namespace = p.Namespace
		c := explain.NewConfig(p.Resources)
		c.Lookup = t.Lookup
		return c, !c.Captures(), nil
	}
	return nil, false, fmt.Errorf("no workload %s with a proxy in the files; there are: %s", want, strings.Join(all, ", "))
}

// request reads the flags and the URL.
func (e *explanation) request(u *url.URL, c *explain.Config, router bool) (explain.Request, error) {
	r := explain.Request{Way: explain.Outbound, Method: e.method, Host: u.Host, Path: u.RequestURI(), Header: map[string][]string{}}
	if router {
		r.Way = explain.Direct
	}
	if e.inbound {
		r.Way = explain.Inbound
	}
	for _, h := range e.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return r, fmt.Errorf("-H %q: write \"name: value\"", h)
		}
		if value = strings.TrimSpace(value); strings.EqualFold(name, "host") {
			r.Host = value
		} else {
			r.Header.Add(name, value)
		}
	}
	var err error
	if r.Claims, err = claims(e.claims); err != nil {
		return r, err
	}
	if err := e.speaks(u, &r); err != nil {
		return r, err
	}
	port := 80
	if r.TLS != nil {
		port = 443
	}
	if p, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		port = int(p)
	}
	to := c.Address(u.Hostname(), e.namespace, uint16(port))
	if e.to != "" {
		if to, err = netip.ParseAddr(e.to); err != nil {
			return r, fmt.Errorf("--to: %w", err)
		}
	}
	if e.source != "" {
		if r.Source, err = netip.ParseAddr(e.source); err != nil {
			return r, fmt.Errorf("--source: %w", err)
		}
	}
	r.Destination = netip.AddrPortFrom(to, uint16(port))
	return r, nil
}

// speaks sets what the URL's scheme stands for.
func (e *explanation) speaks(u *url.URL, r *explain.Request) error {
	switch u.Scheme {
	case "http", "https":
		r.Protocol = explain.HTTP11
	case "http1.0":
		r.Protocol = explain.HTTP10
	case "h2c", "grpc":
		r.Protocol = explain.HTTP2
	case "tcp", "tls":
		r.Protocol = explain.TCP
	default:
		return fmt.Errorf("scheme %q: use http, http1.0, h2c, grpc, https, tcp or tls", u.Scheme)
	}
	if u.Scheme == "grpc" {
		r.Method = "POST"
		r.Header.Set("Content-Type", "application/grpc")
	}
	if u.Scheme == "https" || u.Scheme == "tls" {
		r.TLS = &explain.TLS{SNI: u.Hostname(), ALPN: e.alpn, Certificate: e.mtls}
		if e.sni != "" {
			r.TLS.SNI = e.sni
		}
	}
	return nil
}
