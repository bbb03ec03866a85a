package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

// proxyConfig is one call of a subcommand of proxy-config.
type proxyConfig struct {
	place
	output, file string
	namespace    string
}

func newProxyConfig(o *options) *cobra.Command {
	p := &proxyConfig{place: place{options: o}}
	cmd := &cobra.Command{
		Use: "proxy-config", Aliases: []string{"pc"},
		Short: "Show what one proxy's Envoy runs",
	}
	usage.Group(cmd)
	p.register(cmd)
	p.flags(cmd)
	cmd.AddCommand(p.bootstrap(), p.cluster(), p.listener(), p.route(), p.endpoint(), p.secret(), p.ecds(), p.log(), p.all())
	return cmd
}

// flags are those of all subcommands.
func (p *proxyConfig) flags(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVarP(&p.output, "output", "o", "short", "short, json or yaml")
	cmd.PersistentFlags().StringVarP(&p.file, "file", "f", "", "read a saved config_dump (or clusters) of Envoy in place of a proxy's; - is standard input")
	cmd.PersistentFlags().StringVarP(&p.namespace, "namespace", "n", "default", "namespace of the pod")
	completion(cmd, "output", words("short", "json", "yaml"))
}

// dumpPath is where Envoy's admin interface has its config_dump.
const dumpPath = "config_dump?include_eds"

// asks gives a subcommand that shows what Envoy's admin interface, or a file, has at the path.
func (p *proxyConfig) asks(path, name, short string, aliases []string, show func(w io.Writer, data []byte, f proxyconfig.Format) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " [POD[.NAMESPACE]]", Short: short, Aliases: aliases, Args: usage.Args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: p.completePods,
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := proxyconfig.ParseFormat(p.output)
			if err != nil {
				return usageError(err)
			}
			data, err := p.read(cmd, args, path)
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), data, format)
		},
	}
}

// command gives a subcommand that shows something of a config_dump.
func (p *proxyConfig) command(name, short string, aliases []string, show func(w io.Writer, d *proxyconfig.Dump, f proxyconfig.Format) error) *cobra.Command {
	return p.asks(dumpPath, name, short, aliases, func(w io.Writer, data []byte, f proxyconfig.Format) error {
		dump, err := proxyconfig.ParseDump(data)
		if err != nil {
			return err
		}
		return show(w, dump, f)
	})
}

// read gives the file of -f, or what the pod's Envoy answers on its admin port.
func (p *proxyConfig) read(cmd *cobra.Command, args []string, path string) ([]byte, error) {
	switch {
	case p.file != "":
		return readDump(cmd.InOrStdin(), p.file)
	case len(args) == 0:
		return nil, usageError(errors.New("name a pod, or a saved dump with -f"))
	}
	return p.admin(cmd.Context(), args[0], "GET", path)
}

// admin asks the Envoy of a pod.
func (p *proxyConfig) admin(ctx context.Context, pod, method, path string) ([]byte, error) {
	m, err := p.reach()
	if err != nil {
		return nil, err
	}
	defer m.close()
	return m.admin(ctx, qualified(pod, p.namespace), method, path)
}

// qualified gives POD.NAMESPACE of what a user calls a pod. What is no name is not found as it stands.
func qualified(pod, namespace string) string {
	if name, in, ok := workloadNamed(pod, namespace); ok {
		return name + "." + in
	}
	return pod + "." + namespace
}

func (p *proxyConfig) bootstrap() *cobra.Command {
	cmd := p.command("bootstrap", "The bootstrap", []string{"b"}, func(w io.Writer, d *proxyconfig.Dump, f proxyconfig.Format) error {
		return d.PrintBootstrap(w, f)
	})
	// As Istio's: the whole document unless short is asked for.
	cmd.PreRun = func(cmd *cobra.Command, _ []string) {
		if !cmd.Flags().Changed("output") {
			p.output = string(proxyconfig.JSON)
		}
	}
	return cmd
}

func (p *proxyConfig) cluster() *cobra.Command {
	var f proxyconfig.ClusterFilter
	cmd := p.command("cluster", "Clusters", []string{"clusters", "c"}, func(w io.Writer, d *proxyconfig.Dump, format proxyconfig.Format) error {
		return d.PrintClusters(w, format, f)
	})
	cmd.Flags().StringVar(&f.FQDN, "fqdn", "", "only this service")
	completion(cmd, "fqdn", p.completeHosts)
	cmd.Flags().StringVar(&f.Direction, "direction", "", "inbound or outbound")
	cmd.Flags().StringVar(&f.Subset, "subset", "", "only this subset")
	cmd.Flags().IntVar(&f.Port, "port", 0, "only this port")
	return cmd
}

func (p *proxyConfig) listener() *cobra.Command {
	var (
		f       proxyconfig.ListenerFilter
		verbose bool
	)
	cmd := p.command("listener", "Listeners", []string{"listeners", "l"}, func(w io.Writer, d *proxyconfig.Dump, format proxyconfig.Format) error {
		return d.PrintListeners(w, format, f, verbose)
	})
	cmd.Flags().StringVar(&f.Address, "address", "", "only this address")
	cmd.Flags().StringVar(&f.Type, "type", "", "HTTP, TCP or HTTP+TCP")
	completion(cmd, "type", words("HTTP", "TCP", "HTTP+TCP"))
	cmd.Flags().IntVar(&f.Port, "port", 0, "only this port")
	cmd.Flags().BoolVar(&verbose, "verbose", true, "a row for each filter chain")
	return cmd
}

func (p *proxyConfig) route() *cobra.Command {
	var (
		name    string
		verbose bool
	)
	cmd := p.command("route", "Routes", []string{"routes", "r"}, func(w io.Writer, d *proxyconfig.Dump, f proxyconfig.Format) error {
		return d.PrintRoutes(w, f, name, verbose)
	})
	cmd.Flags().BoolVar(&verbose, "verbose", true, "a row for each route")
	// Istio's tool calls it --name, which here is the mesh's everywhere.
	cmd.Flags().StringVar(&name, "route", "", "only this route configuration")
	return cmd
}

func (p *proxyConfig) secret() *cobra.Command {
	return p.command("secret", "Certificates and roots", []string{"secrets", "s"}, func(w io.Writer, d *proxyconfig.Dump, f proxyconfig.Format) error {
		return d.PrintSecrets(w, f, time.Now())
	})
}

func (p *proxyConfig) ecds() *cobra.Command {
	return p.command("ecds", "Extensions that were discovered", nil, func(w io.Writer, d *proxyconfig.Dump, f proxyconfig.Format) error {
		return d.PrintECDS(w, f)
	})
}

func (p *proxyConfig) endpoint() *cobra.Command {
	var f proxyconfig.EndpointFilter
	cmd := p.asks("clusters?format=json", "endpoint", "Endpoints, with their health", []string{"endpoints", "ep"},
		func(w io.Writer, data []byte, format proxyconfig.Format) error {
			return proxyconfig.PrintEndpoints(w, data, format, f)
		})
	cmd.Flags().StringVar(&f.Address, "address", "", "only this address")
	cmd.Flags().StringVar(&f.Cluster, "cluster", "", "only this cluster")
	cmd.Flags().StringVar(&f.Status, "status", "", "healthy or unhealthy")
	cmd.Flags().IntVar(&f.Port, "port", 0, "only this port")
	return cmd
}

func (p *proxyConfig) log() *cobra.Command {
	var (
		level string
		reset bool
	)
	cmd := &cobra.Command{
		Use: "log POD[.NAMESPACE]", Aliases: []string{"o"}, Short: "Envoy's loggers; changes their levels",
		Args: usage.Args(cobra.ExactArgs(1)), ValidArgsFunction: p.completePods,
		RunE: func(cmd *cobra.Command, args []string) error {
			if reset {
				level = "warning"
			}
			paths, err := loggingPaths(level)
			if err != nil {
				return usageError(err)
			}
			var out []byte
			for _, path := range paths {
				if out, err = p.admin(cmd.Context(), args[0], "POST", path); err != nil {
					return err
				}
			}
			return proxyconfig.PrintLoggers(cmd.OutOrStdout(), qualified(args[0], p.namespace), out)
		},
	}
	cmd.Flags().StringVar(&level, "level", "", "a level for all loggers, or LOGGER:LEVEL,…")
	completion(cmd, "level", words(logLevels()...))
	cmd.Flags().BoolVarP(&reset, "reset", "r", false, "warning for all loggers")
	return cmd
}

// logLevels are Envoy's, the least first.
func logLevels() []string {
	return []string{"trace", "debug", "info", "warning", "error", "critical", "off"}
}

// loggingPaths gives the requests that set levels as "debug" or "http:debug,router:info" says.
func loggingPaths(level string) ([]string, error) {
	if level == "" {
		return []string{"logging"}, nil
	}
	var paths []string
	for part := range strings.SplitSeq(level, ",") {
		logger, l, found := strings.Cut(part, ":")
		if !found {
			logger, l = "level", part
		}
		if !slices.Contains(logLevels(), l) || logger == "" {
			return nil, fmt.Errorf("--level %q: use trace, debug, info, warning, error, critical or off, alone or as LOGGER:LEVEL", part)
		}
		paths = append(paths, "logging?"+logger+"="+l)
	}
	return paths, nil
}

func (p *proxyConfig) all() *cobra.Command {
	var headers bool
	cmd := p.asks(dumpPath, "all", "Everything; -o json gives Envoy's own config_dump, which -f takes", []string{"a"}, func(w io.Writer, data []byte, f proxyconfig.Format) error {
		if f != proxyconfig.Short { // a dump as it is serves -f later
			return proxyconfig.PrintDocument(w, f, data)
		}
		d, err := proxyconfig.ParseDump(data)
		if err != nil {
			return err
		}
		return printAll(w, d, headers)
	})
	cmd.Flags().BoolVar(&headers, "with-headers", true, "a title above each table")
	return cmd
}

// printAll prints the tables one after the other.
func printAll(w io.Writer, d *proxyconfig.Dump, headers bool) error {
	const f = proxyconfig.Short
	for i, block := range []struct {
		title string
		print func() error
	}{
		{"BOOTSTRAP", func() error { return d.PrintBootstrap(w, f) }},
		{"CLUSTER", func() error { return d.PrintClusters(w, f, proxyconfig.ClusterFilter{}) }},
		{"LISTENER", func() error { return d.PrintListeners(w, f, proxyconfig.ListenerFilter{}, true) }},
		{"ROUTE", func() error { return d.PrintRoutes(w, f, "", true) }},
		{"ECDS", func() error { return d.PrintECDS(w, f) }},
		{"SECRET", func() error { return d.PrintSecrets(w, f, time.Now()) }},
		{"ENDPOINTS", func() error { return d.PrintAssignments(w, f) }},
	} {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if headers {
			fmt.Fprintln(w, block.title)
		}
		if err := block.print(); err != nil {
			return err
		}
	}
	return nil
}
