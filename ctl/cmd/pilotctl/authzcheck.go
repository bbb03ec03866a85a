package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
)

// newAuthzCheck shows the AuthorizationPolicies that one proxy's Envoy enforces.
func newAuthzCheck(o *options) *cobra.Command {
	p := &proxyConfig{place: place{options: o}}
	cmd := p.command("check", "List the AuthorizationPolicies that one proxy's Envoy enforces", nil, func(w io.Writer, d *proxyconfig.Dump, f proxyconfig.Format) error {
		return d.PrintEnforced(w, f)
	})
	cmd.Long = `List the AuthorizationPolicies that one proxy's Envoy enforces, by what it runs: their action, and how
many of their rules it has. A policy that is not in the list does not act on the workload. LOG is
what AUDIT comes to; CUSTOM asks an extension provider.

It is the Envoy of a pod of a mesh on this machine or in a cluster, or a saved config_dump (-f).`
	cmd.Example = "  pilotctl authz check productpage-v1\n  pilotctl authz check -f dump.json -o json"
	p.register(cmd)
	p.flags(cmd)
	return cmd
}
