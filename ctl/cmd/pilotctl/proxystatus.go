package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/proxystatus"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

// notYet is how long proxy-status waits for a proxy that is just taking up a change, before it
// calls it different.
const notYet = 2 * time.Second

// syncPath is where a control plane tells of its proxies.
const syncPath = "/debug/pilothouse/syncz"

func newProxyStatus(o *options) *cobra.Command {
	var output, namespace string
	at := place{options: o}
	cmd := &cobra.Command{
		Use: "proxy-status [POD[.NAMESPACE]]", Aliases: []string{"ps"},
		Short:       "Which proxies are in step with the control plane; for one, how it differs",
		Annotations: map[string]string{exitsWith: "4 a proxy does not run what it was sent"},
		Args:        usage.Args(cobra.MaximumNArgs(1)), ValidArgsFunction: at.completePods,
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := proxyconfig.ParseFormat(output)
			if err != nil {
				return usageError(err)
			}
			m, err := at.reach()
			if err != nil {
				return err
			}
			defer m.close()
			if len(args) == 1 {
				return compare(cmd, m, qualified(args[0], namespace), format)
			}
			return list(cmd, m, format)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "short", "short, json or yaml")
	completion(cmd, "output", words("short", "json", "yaml"))
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "default", "namespace of the pod")
	at.register(cmd)
	return cmd
}

func list(cmd *cobra.Command, m reached, format proxyconfig.Format) error {
	all, silent, err := m.lists(cmd.Context(), syncPath)
	if err != nil {
		return err
	}
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	if err := printList(cmd, format, data); err != nil {
		return err
	}
	if err := tellSilent(cmd, silent); err != nil {
		return err
	}
	return refusing(data)
}

// refusing fails where a proxy has refused something of what is in force.
func refusing(data []byte) error {
	all, err := proxystatus.Parse(data)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(p proxystatus.Proxy) bool { return p.Summary() == "ERROR" }) {
		return &exitError{code: exitDiffers}
	}
	return nil
}

func printList(cmd *cobra.Command, format proxyconfig.Format, data []byte) error {
	if format != proxyconfig.Short {
		return proxyconfig.PrintDocument(cmd.OutOrStdout(), format, data)
	}
	all, err := proxystatus.Parse(data)
	if err != nil {
		return err
	}
	return proxystatus.Print(cmd.OutOrStdout(), all)
}

// tellSilent says which replicas of the control plane did not answer. What was printed lacks what only they
// know, so that is a failure.
func tellSilent(cmd *cobra.Command, silent []error) error {
	if len(silent) == 0 {
		return nil
	}
	for _, err := range silent {
		if _, err := fmt.Fprintln(cmd.ErrOrStderr(), "pilotctl: a replica of the control plane does not answer:", terminal.Text(err.Error())); err != nil {
			return err
		}
	}
	return &exitError{code: exitFailure}
}

// compare shows how one proxy differs from what it was sent. A change that is on its way is given
// a moment to arrive.
func compare(cmd *cobra.Command, m reached, pod string, format proxyconfig.Format) error {
	ctx := cmd.Context()
	pod, err := m.resolve(ctx, pod)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(notYet)
	again := time.NewTicker(notYet / 10)
	defer again.Stop()
	for {
		sent, err := m.control(ctx, "/debug/config_dump?proxyID="+pod)
		if err != nil {
			return err
		}
		runs, err := m.admin(ctx, pod, "GET", "config_dump")
		if err != nil {
			return err
		}
		proxy, err := statusOf(ctx, m, pod)
		if err != nil {
			return err
		}
		parts, err := difference(sent, runs, proxy)
		if err != nil {
			return err
		}
		same := proxystatus.Same(parts)
		if !same && time.Now().Before(deadline) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-again.C:
			}
			continue
		}
		parts = proxystatus.Refused(parts, proxy)
		if err := printParts(cmd, format, parts); err != nil {
			return err
		}
		if !same || !proxystatus.Whole(parts) {
			return &exitError{code: exitDiffers}
		}
		return nil
	}
}

// statusOf gives what the control plane that a proxy is connected to knows of it; the zero value where none does.
func statusOf(ctx context.Context, m reached, pod string) (proxystatus.Proxy, error) {
	all, _, err := m.lists(ctx, syncPath)
	if err != nil {
		return proxystatus.Proxy{}, err
	}
	data, err := json.Marshal(all)
	if err != nil {
		return proxystatus.Proxy{}, err
	}
	proxies, err := proxystatus.Parse(data)
	if err != nil {
		return proxystatus.Proxy{}, err
	}
	i := slices.IndexFunc(proxies, func(p proxystatus.Proxy) bool { return p.Name == pod })
	if i < 0 {
		return proxystatus.Proxy{}, nil
	}
	return proxies[i], nil
}

func printParts(cmd *cobra.Command, format proxyconfig.Format, parts []proxystatus.Part) error {
	if format != proxyconfig.Short {
		return printDocument(cmd.OutOrStdout(), format, parts)
	}
	return proxystatus.PrintParts(cmd.OutOrStdout(), parts)
}

func difference(sent, runs []byte, of proxystatus.Proxy) ([]proxystatus.Part, error) {
	a, err := proxyconfig.ParseDump(sent)
	if err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	b, err := proxyconfig.ParseDump(runs)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return proxystatus.Compare(a, b, of)
}
