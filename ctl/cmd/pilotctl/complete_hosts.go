package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
)

// completeHosts completes a host with those of the mesh's services.
func (p *place) completeHosts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	m, err := p.reach()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer m.close()
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()
	hosts, err := hosts(ctx, m)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return hosts, cobra.ShellCompDirectiveNoFileComp
}

// completePodAndHost completes the first argument with a pod, and the second with a host.
func (p *place) completePodAndHost(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return p.completePods(cmd, args, prefix)
	case 1:
		return p.completeHosts(cmd, args, prefix)
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// completePodsAndServices completes the first argument with the pods of the mesh, and its services as
// SERVICE.NAMESPACE.
func (p *place) completePodsAndServices(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	names, directive := p.completePods(cmd, args, prefix)
	if len(args) > 0 {
		return names, directive
	}
	all, _ := p.completeHosts(cmd, args, prefix)
	for _, host := range all {
		if parts := strings.SplitN(host, ".", 4); len(parts) > 2 && parts[2] == "svc" {
			names = append(names, parts[0]+"."+parts[1])
		}
	}
	return names, directive
}

// hosts gives the hosts of the services that a control plane knows, sorted.
func hosts(ctx context.Context, m reached) ([]string, error) {
	data, err := m.control(ctx, "/debug/endpointShardz")
	if err != nil {
		return nil, err
	}
	var services map[string]json.RawMessage
	if err := json.Unmarshal(data, &services); err != nil {
		return nil, fmt.Errorf("the control plane's answer is not a list of services: %w", err)
	}
	out := slices.Sorted(maps.Keys(services))
	for i := range out {
		out[i] = terminal.Text(out[i])
	}
	return out, nil
}
