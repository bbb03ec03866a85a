package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
)

// authzQuestion is one call of authz explain.
type authzQuestion struct {
	from, to, address, method, path, host string
	headers, claims                       []string
	tcp                                   bool
}

func newAuthz(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "authz", Short: "Tell who may call whom"}
	group(cmd)
	cmd.AddCommand(newAuthzCheck(o), newAuthzExplain())
	return cmd
}

func newAuthzExplain() *cobra.Command {
	e := &authzQuestion{}
	cmd := &cobra.Command{
		Use: "explain --to NAMESPACE/WORKLOAD[:PORT] [flags] DIR|FILE [DIR|FILE...]", Short: "Tell, without a mesh, which policy decides about a call",
		Long: `Tell which AuthorizationPolicy of directories and files decides about a call to the sidecar
of a workload, or which part of the nearest rule did not match. Nothing has to run: the control
plane's own code reads the objects and evaluates the rules as Envoy does. Where a CUSTOM policy
matches, the answer names the provider that is asked, and what becomes of the call if it allows.`,
		Example: "  pilotctl authz explain --from cluster.local/ns/shop/sa/front --to shop/cart:8080 --method POST --path /items manifests",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return e.run(cmd.OutOrStdout(), args) },
	}
	f := cmd.Flags()
	f.StringVar(&e.from, "from", "", "identity of the client's certificate, as trust-domain/ns/NAMESPACE/sa/ACCOUNT; none for a client without one")
	f.StringVar(&e.to, "to", "", "namespace and name of a Pod or of what makes pods, and the container's port (default 80)")
	f.StringVar(&e.address, "address", "10.255.255.254", "IP address of the client")
	f.StringVar(&e.method, "method", "GET", "of the request")
	f.StringVar(&e.path, "path", "/", "of the request")
	f.StringVar(&e.host, "host", "", "of the request")
	f.StringArrayVar(&e.headers, "header", nil, "name=value of the request; may be given several times")
	f.StringArrayVar(&e.claims, "claim", nil, "name=value of a valid token, the value as JSON or text; may be given several times")
	f.BoolVar(&e.tcp, "tcp", false, "a connection of another protocol than HTTP")
	return cmd
}

func (e *authzQuestion) run(out io.Writer, args []string) error {
	call, namespace, name, err := e.call()
	if err != nil {
		return usageError(err)
	}
	var files []analyze.File
	for dir, arg := range args {
		more, err := (&analysis{}).read(arg, dir)
		if err != nil {
			return err
		}
		files = append(files, more...)
	}
	listener, err := analyze.Inbound(files, namespace, name)
	if err != nil {
		return err
	}
	chain, err := authz.Chain(listener, call)
	if err != nil {
		_, err = fmt.Fprintln(out, "refused:", err)
		return err
	}
	if call.Request != nil {
		call.Request.Path = authz.Normalize(e.path, authz.Path(chain))
	}
	d := authz.Decide(authz.Filters(chain), *call)
	_, err = fmt.Fprintln(out, verdict(d))
	return err
}

// verdict says a decision in a sentence.
func verdict(d authz.Decision) string {
	if d.Asks != "" {
		asks := "asks provider " + d.Asks + ", by " + d.AskedBy
		d.Asks = ""
		return asks + "; if it allows: " + verdict(d)
	}
	switch {
	case d.Allowed && d.Rule == "":
		return "allowed: no ALLOW policy is for the workload, and no other denies"
	case d.Allowed:
		return "allowed: by " + d.Rule
	case d.Rule != "":
		return "denied: by " + d.Rule
	case d.Missed == nil || d.Missed.Field == "":
		return "denied: no ALLOW policy matched"
	}
	return fmt.Sprintf("denied: no ALLOW policy matched; of the nearest rule %s did not: %s", d.Missed.Rule, d.Missed.Field)
}

// call reads the flags.
func (e *authzQuestion) call() (_ *authz.Call, namespace, name string, _ error) {
	target, port, ported := strings.Cut(e.to, ":")
	namespace, name, ok := strings.Cut(target, "/")
	if !ok || namespace == "" || name == "" {
		return nil, "", "", fmt.Errorf("--to %q: give NAMESPACE/WORKLOAD or NAMESPACE/WORKLOAD:PORT", e.to)
	}
	address, err := netip.ParseAddr(e.address)
	if err != nil {
		return nil, "", "", fmt.Errorf("--address %q is no IP address", e.address)
	}
	out := &authz.Call{Peer: address, Client: address, Port: 80}
	if ported {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return nil, "", "", fmt.Errorf("--to %q: the port is between 1 and 65535", e.to)
		}
		out.Port = uint32(n)
	}
	if e.from != "" {
		out.Identity = "spiffe://" + strings.TrimPrefix(e.from, "spiffe://")
	}
	if e.tcp {
		return out, namespace, name, nil
	}
	out.Request = &authz.Request{Method: e.method, Host: authz.NormalizeHost(e.host), Headers: map[string]string{}}
	for _, h := range e.headers {
		k, v, ok := strings.Cut(h, "=")
		if !ok {
			return nil, "", "", fmt.Errorf("--header %q: give name=value", h)
		}
		out.Request.Headers[strings.ToLower(k)] = v
	}
	out.Request.Claims, err = claims(e.claims)
	return out, namespace, name, err
}

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
