package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// tlsCheck is one call of authn tls-check.
type tlsCheck struct {
	place
	namespace, output string
	files             []string
}

func newAuthn(o *options) *cobra.Command {
	c := &tlsCheck{place: place{options: o}}
	cmd := &cobra.Command{Use: "authn", Short: "Tell how clients and servers prove who they are"}
	usage.Group(cmd)
	c.register(cmd)
	cmd.AddCommand(c.command())
	return cmd
}

func (c *tlsCheck) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tls-check POD[.NAMESPACE] [HOST]", Short: "Compare what services ask of clients with what a pod's proxy does",
		Long: `Compare, for each port of the services that a pod sees or of HOST, what the server takes, by
PeerAuthentications, with what the client does, by DestinationRules or by automatic mutual TLS (AUTO),
and name the objects behind both. A gateway takes what the servers of its Gateways say. What a sidecar
passes to a HOST that it does not see (NOT SEEN) goes there as it came. CONFLICT means that connections
fail, and why.

It is a pod of a running mesh, or with -f a workload of directories and files.`,
		Example: "  pilotctl authn tls-check productpage-v1 reviews.default.svc.cluster.local\n  pilotctl authn tls-check -f manifests cart.shop",
		Args:    usage.Args(cobra.RangeArgs(1, 2)), ValidArgsFunction: c.completePodAndHost,
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	f := cmd.Flags()
	f.StringVarP(&c.namespace, "namespace", "n", "default", "namespace of the pod")
	f.StringVarP(&c.output, "output", "o", "short", "short, json or yaml")
	f.StringArrayVarP(&c.files, "file", "f", nil, "a directory or file of objects, in place of a running mesh; may be given several times")
	completion(cmd, "output", words("short", "json", "yaml"))
	return cmd
}

func (c *tlsCheck) run(cmd *cobra.Command, args []string) error {
	format, err := proxyconfig.ParseFormat(c.output)
	if err != nil {
		return usageError(err)
	}
	host := ""
	if len(args) == 2 {
		host = args[1]
	}
	checks, err := c.checks(cmd, qualified(args[0], c.namespace), host)
	if err != nil {
		return err
	}
	if host != "" && len(checks) == 0 {
		return errors.New("the pod sees no service of the mesh of host " + host + "; give it in full, as reviews.default.svc.cluster.local")
	}
	if format != proxyconfig.Short {
		return printDocument(cmd.OutOrStdout(), format, checks)
	}
	return printChecks(cmd.OutOrStdout(), checks)
}

// checks asks the control plane, or reads the files.
func (c *tlsCheck) checks(cmd *cobra.Command, pod, host string) ([]resolve.TLSCheck, error) {
	if len(c.files) > 0 {
		files, err := (&analysis{}).files(nil, c.files)
		if err != nil {
			return nil, err
		}
		name, namespace, _ := strings.Cut(pod, ".")
		return analyze.TLSChecks(files, namespace, name, host)
	}
	m, err := c.reach()
	if err != nil {
		return nil, err
	}
	defer m.close()
	if pod, err = m.resolve(cmd.Context(), pod); err != nil {
		return nil, err
	}
	found, err := m.find(cmd.Context(), pod)
	if err != nil {
		return nil, err
	}
	query := url.Values{"proxyID": {pod}, "host": {host}, "proxy": {cmp.Or(string(model.ProxyTypeOf(&found.Spec)), "none")}}
	data, err := m.control(cmd.Context(), "/debug/pilothouse/tls?"+query.Encode())
	if err != nil {
		return nil, err
	}
	var out []resolve.TLSCheck
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("the control plane's answer is no list of checks: %w", err)
	}
	return out, nil
}

func printChecks(w io.Writer, checks []resolve.TLSCheck) error {
	var rows [][]string
	for _, k := range checks {
		where, status := fmt.Sprintf("%s:%d", k.Host, k.Port), "OK"
		if k.Subset != "" {
			where += " (subset " + k.Subset + ")"
		}
		if k.Conflict != "" {
			status = "CONFLICT: " + k.Conflict
		}
		rows = append(rows, []string{where, k.Server, k.Client, object(k.ServerObject, model.KindPeerAuthentication), object(k.ClientObject, model.KindDestinationRule), status})
	}
	return terminal.Table(w, 3, []string{"HOST:PORT", "SERVER", "CLIENT", "AUTHN POLICY", "DESTINATION RULE", "STATUS"}, rows)
}

// object gives NAMESPACE/NAME of KIND/NAMESPACE/NAME, with the kind before it where it is not the usual one, and - for
// none.
func object(key string, usual model.Kind) string {
	kind, name, _ := strings.Cut(key, "/")
	if kind != string(usual) {
		name = strings.TrimSpace(kind + " " + name)
	}
	return cmp.Or(name, "-")
}
