package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/spelling"
)

// explanation is one call of explain.
type explanation struct {
	place
	from, namespace, file, output string
	method, sni, to, source       string
	identity, cert, tlsMax        string
	close                         func() // the mesh that was asked
	headers, alpn, claims         []string
	ciphers                       []string
	inbound, mtls                 bool
	quic                          bool // the client speaks HTTP/3, so that the control plane is one that has it
	given                         func(flag string) bool
	trouble                       trouble // of the files
}

func newExplain(o *options) *cobra.Command {
	e := &explanation{place: place{options: o}, close: func() {}}
	cmd := &cobra.Command{
		Use: "explain URL [DIR|FILE...]", Short: "Tell what happens to a request, step by step, and why",
		Long: `Tell what happens to a request: listener, filter chain, virtual host, route and why earlier
ones did not match, cluster and endpoints, each with the object that it comes from, the rule in it
and its line. Then come the policies of the proxy beside each server: who calls is the service account
of --from, and --claim gives the claims of the request's token.

What is followed is the configuration of one Envoy: that of the pod of --from in a running
mesh, that which it would have by the objects in directories and files ("-" is standard input),
without a mesh, or a saved config_dump (-f; with include_eds it has endpoints). An object of a
later directory or file takes the place of one of an earlier one. What the control plane would
refuse of the files is said on standard error, as far as it touches the request. In the place of such an
AuthorizationPolicy, RequestAuthentication or PeerAuthentication a policy "refused:KIND:NAME" denies,
as in a mesh.

The host's address is what a client's DNS answers, by the Services, ServiceEntries and pods; --to gives
another one. A dump tells it by listeners and virtual hosts, and where it does not, --to is asked for.

` + injectionHelp + `

The URL's scheme says what the client speaks: http, http1.0, h2c, grpc, grpc-web, ws (an upgrade
to WebSocket), https (HTTP in TLS), wss, h3 (HTTP/3 alone, as curl --http3-only), tcp, tls (bytes in TLS).
A gateway is asked as --from too, on the port of the URL, which is that of its Service. One that the
files do not have goes by the name of its Gateway, and the usual one as
istio-system/istio-ingressgateway too. Of files h3 asks a control plane that has
PILOT_ENABLE_QUIC_LISTENERS=true. With --inbound the port is the workload's own, to which targetPort of
its Service leads; that of the Service counts where the workload has no such port.

Exit codes: 0 the request goes to a server, or the configuration itself answers it (a redirect,
a direct response, an injected fault); 80 no server gets it (401, 403, 404, 502, 503, or the end of
the connection); 1 a file or a proxy cannot be read; 2 wrong usage.`,
		Example: "  pilotctl explain --from productpage-v1 http://reviews:9080/reviews/0 -H 'end-user: jason'\n  pilotctl explain --from productpage-v1 http://reviews:9080/ samples/bookinfo\n  pilotctl explain -f dump.json http://reviews:9080/",
		Args:    usage.Args(cobra.MinimumNArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return e.run(cmd, args[0], args[1:]) },
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
			}
			return manifests(nil, args, "")
		},
	}
	e.register(cmd)
	e.flags(cmd)
	return cmd
}

// flags adds what a request is asked with.
func (e *explanation) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&e.from, "from", "", "the pod (or in files the workload, of which the first is asked if this is left out) whose proxy is asked, as POD[.NAMESPACE], NAMESPACE/WORKLOAD or deployment/NAME")
	f.StringVarP(&e.namespace, "namespace", "n", "default", "namespace of --from, where it names none")
	f.StringVarP(&e.file, "file", "f", "", "a saved config_dump of Envoy; - is standard input")
	f.StringVarP(&e.output, "output", "o", "steps", "steps, json or yaml")
	f.StringVarP(&e.method, "method", "X", "GET", "method")
	f.StringArrayVarP(&e.headers, "header", "H", nil, `header, as "name: value"; Host is the request's host`)
	f.StringArrayVar(&e.claims, "claim", nil, "name=value of the request's token, which is valid, the value as JSON or text; may be given several times")
	f.StringVar(&e.sni, "sni", "", "name in the TLS handshake, if not the URL's host")
	f.StringArrayVar(&e.alpn, "alpn", nil, "protocol that the TLS handshake offers")
	f.StringVar(&e.tlsMax, "tls-max", "", "newest version of TLS that the client offers: 1.0, 1.1, 1.2 or 1.3")
	f.StringSliceVar(&e.ciphers, "ciphers", nil, "cipher suites of TLS 1.2 and older that the client offers, by OpenSSL's names, e.g. ECDHE-RSA-AES128-GCM-SHA256")
	f.BoolVar(&e.mtls, "mtls", false, "the client shows a certificate of the mesh")
	f.StringVar(&e.identity, "identity", "", "identity in the client's certificate, as trust-domain/ns/NAMESPACE/sa/ACCOUNT, where the client is no proxy: with --inbound, or at a gateway")
	f.StringVar(&e.cert, "cert", "", "the certificates in PEM that the client shows, its own first, where they are of another CA than the mesh's")
	f.BoolVar(&e.inbound, "inbound", false, "the request comes to the pod of --from, in place of going out from it")
	f.StringVar(&e.to, "to", "", "where it is sent, if not to the address of the URL's host: an IP address, with a port or without, or unix:///PATH for a socket on which the proxy listens")
	f.StringVar(&e.source, "source", "", "IP address of the client")
	completion(cmd, "output", words("steps", "json", "yaml"))
	completion(cmd, "tls-max", words(slices.Sorted(maps.Keys(tlsVersions))...))
	completion(cmd, "method", words(methods()...))
	completion(cmd, "alpn", words("h2", "http/1.1", "istio", "istio-h2", "istio-http/1.1"))
	completion(cmd, "from", func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 1 { // files, which hold the workloads
			return e.completeWorkloads(cmd.Context(), args[1:])
		}
		return e.completePods(cmd, nil, prefix)
	})
}

func (e *explanation) run(cmd *cobra.Command, target string, files []string) error {
	if err := outputIs(e.output, "steps", "json", "yaml"); err != nil {
		return err
	}
	e.given = cmd.Flags().Changed
	u, err := e.url(target)
	if err == nil {
		err = e.checkFlags(u)
	}
	if err != nil {
		return usageError(err)
	}
	e.quic = protocols[u.Scheme] == explain.HTTP3
	defer func() { e.close() }() // of the mesh that config opens
	config, router, err := e.config(cmd, files)
	if err != nil {
		return err
	}
	r, err := e.request(u, config, router)
	if err != nil {
		return usageError(err)
	}
	a := config.Explain(r)
	if err := e.trouble.tell(cmd.ErrOrStderr(), e.trouble.way(u.Hostname(), &r, a)); err != nil {
		return err
	}
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
func (e *explanation) config(cmd *cobra.Command, files []string) (c *explain.Config, router bool, err error) {
	var data []byte
	switch {
	case e.file != "" && len(files) > 0:
		return nil, false, usageError(errors.New("a saved dump and files exclude each other"))
	case e.file != "" && e.from != "":
		return nil, false, usageError(errors.New("--from: a saved dump is of one pod already; give its namespace with -n"))
	case len(files) > 0:
		return e.translated(cmd, files)
	case e.file != "":
		data, err = readDump(cmd.InOrStdin(), e.file)
	case e.from == "":
		return nil, false, usageError(errors.New("name a pod with --from, a saved dump with -f, or files"))
	default:
		if c, err = e.running(cmd.Context(), cmd.ErrOrStderr()); err != nil {
			return nil, false, err
		}
		return c, !c.Captures(), nil
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
func (e *explanation) translated(cmd *cobra.Command, names []string) (*explain.Config, bool, error) {
	t, err := e.read(cmd, names)
	if err != nil {
		return nil, false, err
	}
	name, namespace, err := e.workload()
	if err != nil {
		return nil, false, err
	}
	p, ok := t.Find(namespace, name)
	if e.from == "" && len(t.Proxies) > 0 {
		p, ok = t.Proxies[0], true
		fmt.Fprintf(cmd.ErrOrStderr(), "the proxy of %s.%s is asked; --from names another\n", p.Name, p.Namespace)
	}
	if ok {
		e.namespace = p.Namespace
		c := policed(cmd.Context(), t, p, configOf(p))
		c.Peer, c.Host, c.Bare = peersOf(cmd.Context(), t), hostsOf(t, p, nil), t.BareServer
		e.trouble.of(t, p)
		return c, !c.Captures(), nil
	}
	if err := tellErrors(cmd.ErrOrStderr(), e.trouble.found); err != nil {
		return nil, false, err
	}
	if why, ok := t.Bare(namespace, name); ok {
		return nil, false, fmt.Errorf("workload %s.%s has no sidecar, so what it sends passes no proxy: %s", name, namespace, why)
	}
	return nil, false, noWorkload(name+"."+namespace, workloads(t))
}

// workload takes --from apart, which may be left out.
func (e *explanation) workload() (name, namespace string, err error) {
	name, namespace, ok := workloadNamed(e.from, e.namespace)
	if !ok && e.from != "" {
		return "", "", usageError(fmt.Errorf("--from %q: give POD, POD.NAMESPACE, NAMESPACE/WORKLOAD or deployment/NAME", e.from))
	}
	return name, namespace, nil
}

// read translates the files. What is wrong with them is kept until it is known what of it matters.
func (e *explanation) read(cmd *cobra.Command, names []string) (*analyze.Translation, error) {
	files, err := (&analysis{layered: true}).files(cmd.InOrStdin(), names)
	if err != nil {
		return nil, err
	}
	found, err := analyze.Files(cmd.Context(), files)
	if err != nil {
		return nil, err
	}
	e.trouble = newTrouble(files, found, names)
	t, err := analyze.Translate(cmd.Context(), files, resolve.Settings{QUIC: e.quic})
	if err != nil {
		return nil, err
	}
	return t, tellUnresolved(cmd.ErrOrStderr(), t.Unresolved())
}

// workloads names those of files, as WORKLOAD.NAMESPACE.
func workloads(t *analyze.Translation) []string {
	var all []string
	for _, p := range t.Proxies {
		if p.Name != analyze.Any {
			all = append(all, p.Name+"."+p.Namespace)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// workloadsShown is how many are named to who asked for one that is not there.
const workloadsShown = 10

func noWorkload(want string, all []string) error {
	if len(all) == 0 {
		return errors.New("the files have no workload with a proxy; add its Pod or Deployment")
	}
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(spelling.Distance(a, want), spelling.Distance(b, want)) })
	text := strings.Join(all[:min(len(all), workloadsShown)], ", ")
	if n := len(all) - workloadsShown; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("no workload %s with a proxy in the files; there are: %s", want, text)
}

// completeWorkloads completes --from with the workloads of files.
func (e *explanation) completeWorkloads(ctx context.Context, names []string) ([]string, cobra.ShellCompDirective) {
	files, err := (&analysis{layered: true}).files(nil, names)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	t, err := analyze.Translate(ctx, files, resolve.Settings{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return workloads(t), cobra.ShellCompDirectiveNoFileComp
}
