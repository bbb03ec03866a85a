package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// authzQuestion is one call of authz explain.
type authzQuestion struct {
	from, to, namespace                 string
	address, method, path, host, output string
	headers, claims                     []string
	tcp                                 bool
}

func newAuthz(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "authz", Short: "Tell who may call whom"}
	usage.Group(cmd)
	cmd.AddCommand(newAuthzCheck(o), newAuthzExplain())
	return cmd
}

func newAuthzExplain() *cobra.Command {
	e := &authzQuestion{}
	cmd := &cobra.Command{
		Use: "explain --to NAMESPACE/WORKLOAD[:PORT] [flags] DIR|FILE [DIR|FILE...]", Short: "Tell, without a mesh, which policy decides about a call",
		Long: `Tell which AuthorizationPolicy of directories and files decides about a call to a workload,
or which part of the nearest rule did not match, with the file and line of each. Nothing has to
run: the control plane's own code reads the objects and evaluates the rules as Envoy does. Where a
CUSTOM policy matches, the answer names the provider that is asked, and what becomes of the call if
it allows.

A gateway is asked as a workload, on the port of its Service. One that the files do not have goes
by the name of its Gateway, and the usual one as istio-system/istio-ingressgateway too. --host is
also the name in the TLS handshake. A server of a gateway that asks clients for no certificate does
not know who calls.

` + injectionHelp + `

What the control plane would refuse of the files is said on standard error, as far as it touches the call. In the place of such an
AuthorizationPolicy, RequestAuthentication or PeerAuthentication a policy "refused:KIND:NAME" denies,
as in a mesh.

A token of --claim is a valid one: an issuer (iss) or audience (aud) that is not given is the one that
the RequestAuthentication names, if it names one. A token whose issuer no RequestAuthentication of
the workload takes is answered 401, one with another audience 403. Without any no claim counts.

Further lines tell what policies on trial (dry run) would do, and which AUDIT policy matches.

Exit codes: 0 the call is allowed, or asks a provider and is allowed if that allows it; 80 it is
denied or refused; 1 a file cannot be read, or has no such workload; 2 wrong usage.`,
		Example: "  pilotctl authz explain --from cluster.local/ns/shop/sa/front --to shop/cart:8080 --method POST --path /items manifests",
		Args:    usage.Args(cobra.MinimumNArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return e.run(cmd, args) },
	}
	f := cmd.Flags()
	f.StringVar(&e.from, "from", "", "who calls: NAMESPACE/WORKLOAD of the files (or as --to), a gateway too, or an identity as trust-domain/ns/NAMESPACE/sa/ACCOUNT; none for a client without a certificate")
	f.StringVar(&e.to, "to", "", "namespace and name of a Pod or of what makes pods (or NAME.NAMESPACE, or deployment/NAME with -n), and the container's port (of a gateway that of its Service), which may be left out if there is one only")
	f.StringVarP(&e.namespace, "namespace", "n", "default", "namespace of --to and --from, where they name none")
	f.StringVar(&e.address, "address", "10.255.255.254", "IP address of the client")
	f.StringVar(&e.method, "method", "GET", "of the request")
	completion(cmd, "method", words(methods()...))
	f.StringVar(&e.path, "path", "/", "of the request")
	f.StringVar(&e.host, "host", "", "of the request")
	f.StringArrayVar(&e.headers, "header", nil, "name=value of the request; may be given several times")
	f.StringArrayVar(&e.claims, "claim", nil, "name=value of a valid token, the value as JSON or text; may be given several times")
	f.StringVarP(&e.output, "output", "o", "short", "short, json or yaml")
	completion(cmd, "output", words("short", "json", "yaml"))
	f.BoolVar(&e.tcp, "tcp", false, "a connection of another protocol than HTTP")
	return cmd
}

func (e *authzQuestion) run(cmd *cobra.Command, args []string) error {
	if err := outputIs(e.output, "short", "json", "yaml"); err != nil {
		return err
	}
	target, port, _ := strings.Cut(e.to, ":")
	name, namespace, ok := workloadNamed(target, e.namespace)
	if !ok {
		return usageError(fmt.Errorf("--to %q: give NAMESPACE/WORKLOAD, WORKLOAD.NAMESPACE or deployment/NAME (with -n NAMESPACE), and after it :PORT if it has several", e.to))
	}
	call, err := e.call()
	if err != nil {
		return usageError(err)
	}
	if err := numbered(port); err != nil {
		return err
	}
	files, err := (&analysis{layered: true}).files(cmd.InOrStdin(), args)
	if err != nil {
		return err
	}
	found, err := analyze.Files(cmd.Context(), files)
	if err != nil {
		return err
	}
	trouble := newTrouble(files, found, args)
	to, err := analyze.Inbound(files, namespace, name)
	if err != nil {
		return errors.Join(err, tellErrors(cmd.ErrOrStderr(), trouble.found))
	}
	if call.Port, err = portOf(to, port); err != nil {
		return usageError(err)
	}
	var notes []string
	var unaware *analyze.Unaware
	if name, namespace, ok := e.caller(); ok {
		if call.Identity, err = to.Caller(namespace, name); err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		if call.Identity == "" {
			notes = append(notes, e.from+" has no sidecar, so it shows no certificate")
		}
		unaware = to.UnawareOf(namespace, name, call.Port)
	}
	asked := call.Port // which the answer of a gateway replaces
	answer, err := e.answerFor(to, call, unaware)
	if err != nil {
		return usageError(err)
	}
	answer.Notes = append(answer.Notes, notes...)
	if err := tellUnresolved(cmd.ErrOrStderr(), to.Unresolved()); err != nil {
		return err
	}
	if err := trouble.tell(cmd.ErrOrStderr(), e.way(to, answer, asked, call.Port)); err != nil {
		return err
	}
	return answer.print(cmd.OutOrStdout(), e.output)
}

// call reads the flags, but for what is called.
func (e *authzQuestion) call() (*authz.Call, error) {
	address, err := netip.ParseAddr(e.address)
	if err != nil {
		return nil, fmt.Errorf("--address %q is no IP address", e.address)
	}
	out := &authz.Call{Peer: address, Client: address}
	if _, _, workload := e.caller(); e.from != "" && !workload {
		if out.Identity, err = identityOf("--from", e.from); err != nil {
			return nil, err
		}
	}
	if e.tcp {
		return out, nil
	}
	out.Request = &authz.Request{Method: e.method, Host: authz.NormalizeHost(e.host), Headers: map[string]string{}}
	for _, h := range e.headers {
		k, v, ok := strings.Cut(h, "=")
		if !ok {
			return nil, fmt.Errorf("--header %q: give name=value", h)
		}
		out.Request.Headers[strings.ToLower(k)] = v
	}
	out.Request.Claims, err = claims(e.claims)
	return out, err
}

// caller takes apart the name of a workload that calls; ok is false for an identity.
func (e *authzQuestion) caller() (name, namespace string, ok bool) {
	if strings.Count(e.from, "/") > 1 {
		return "", "", false
	}
	return workloadNamed(e.from, e.namespace)
}

// way is what the answer about a call to ports goes by.
func (e *authzQuestion) way(to *analyze.Receiver, a authzAnswer, ports ...uint32) wayTaken {
	proxies := []analyze.Proxy{to.Proxy()}
	out := wayTaken{ports: portsAsked(to.Proxy(), ports...), proxies: proxies, servers: proxies, root: to.RootNamespace(), policies: true}
	if host, _, _ := strings.Cut(e.host, ":"); host != "" && to.Gateway {
		out.hosts = append(out.hosts, model.CanonicalHost(host))
	}
	if provider := to.Provider(a.Asks); provider != "" {
		out.hosts = append(out.hosts, provider)
	}
	return out
}

// identityOf reads an identity that a flag gives, with or without its scheme.
func identityOf(flag, given string) (string, error) {
	name := strings.TrimPrefix(given, "spiffe://")
	if !workloadIdentity.MatchString(name) {
		return "", fmt.Errorf("%s %q: give trust-domain/ns/NAMESPACE/sa/ACCOUNT", flag, given)
	}
	return "spiffe://" + name, nil
}

// workloadIdentity is the form of who a workload is, without its scheme.
var workloadIdentity = regexp.MustCompile(`^[^/]+/ns/[^/]+/sa/[^/]+$`)

// claims gives nil for none. A value that is no JSON is a text.
func claims(flags []string) (map[string]any, error) {
	if len(flags) == 0 {
		return nil, nil
	}
	out := map[string]any{}
	for _, c := range flags {
		k, v, ok := strings.Cut(c, "=")
		if !ok {
			return nil, fmt.Errorf("--claim %q: give name=value", c)
		}
		var value any
		if json.Unmarshal([]byte(v), &value) != nil {
			value = v
		}
		out[k] = value
	}
	return out, nil
}
