package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pilothouse-mesh/pilothouse/agent"
	"github.com/pilothouse-mesh/pilothouse/cgroup"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

// proxyFlags is what the command line of proxy says.
type proxyFlags struct {
	domain, meshConfig, serviceCluster string
	logLevel, componentLogLevel        string
	logOutputLevel                     string
	concurrency                        int
	outlierLogPath                     string
	templateFile                       string
	stsPort                            int
	logAsJSON, profiling, dryRun       bool
	root                               string
}

// heapGrowth lets the heap grow by half before it is collected: the agent stands beside every
// application, and its garbage is small.
const heapGrowth = 50

// newProxyCommand gives the command that runs an agent with its Envoy. Flags that it does not know
// are told and ignored: templates for Istio's agent pass some that mean nothing here.
func newProxyCommand(args, environ []string, hurry <-chan struct{}) *cobra.Command {
	var f proxyFlags
	cmd := &cobra.Command{
		Use:                "proxy [sidecar|router]",
		Short:              "Run Envoy, with its configuration, certificates and names",
		Args:               usage.Args(oneProxyType),
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
		RunE: func(cmd *cobra.Command, rest []string) error {
			debug.SetGCPercent(heapGrowth)
			logger := newLogger(cmd.ErrOrStderr(), f.logOutputLevel, f.logAsJSON)
			for _, name := range unknownFlags(cmd.Flags(), args) {
				logger.Warn("unknown flag ignored", "flag", name)
			}
			kind := "sidecar"
			if len(rest) > 0 {
				kind = rest[0]
			}
			env := environment(environ)
			if f.dryRun {
				nameAnyPod(env)
			}
			cfg, err := newConfig(kind, f, env, logger)
			if err != nil {
				return err
			}
			cfg.Hurry, cfg.Stdout, cfg.Stderr = hurry, os.Stdout, os.Stderr
			cfg.Envoy.MemoryLimit = cgroup.Limit(os.DirFS("/"))
			if f.dryRun {
				return printPlan(cmd.OutOrStdout(), cfg)
			}
			return agent.Run(cmd.Context(), cfg)
		},
	}
	f.add(cmd.Flags())
	return cmd
}

// nameAnyPod gives a pod without a name one, and a namespace: who looks at a plan mostly does so outside of any pod.
func nameAnyPod(env map[string]string) {
	env["POD_NAME"] = cmp.Or(env["POD_NAME"], "pod")
	env["POD_NAMESPACE"] = cmp.Or(env["POD_NAMESPACE"], "default")
}

// printPlan writes what an agent would do as JSON.
func printPlan(out io.Writer, cfg agent.Config) error {
	plan, err := agent.PlanOf(cfg)
	if err != nil {
		return err
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(plan)
}

func (f *proxyFlags) add(set *pflag.FlagSet) {
	set.StringVar(&f.domain, "domain", "", "DNS domain of the proxy (default: POD_NAMESPACE.svc.cluster.local)")
	set.StringVar(&f.meshConfig, "meshConfig", "etc/istio/config/mesh", "file with the MeshConfig, whose defaultConfig counts")
	set.StringVar(&f.serviceCluster, "serviceCluster", "", "service cluster of the node")
	set.StringVar(&f.logLevel, "proxyLogLevel", "warning", "Envoy's log level")
	set.StringVar(&f.componentLogLevel, "proxyComponentLogLevel", "misc:error", "Envoy's log levels by component")
	set.StringVar(&f.logOutputLevel, "log_output_level", "default:info", "the agent's log level, as SCOPE:LEVEL")
	set.IntVar(&f.concurrency, "concurrency", -1, "number of Envoy's worker threads, 0 for one each core (default: ProxyConfig)")
	set.StringVar(&f.outlierLogPath, "outlierLogPath", "", "file for the events of outlier detection")
	set.StringVar(&f.templateFile, "templateFile", "", "bootstrap (no template) that takes the place of the built one")
	set.IntVar(&f.stsPort, "stsPort", 0, "accepted for compatibility, and reported: there is no token exchange")
	set.BoolVar(&f.logAsJSON, "log_as_json", false, "log JSON objects, the agent and Envoy")
	set.BoolVar(&f.profiling, "profiling", true, "serve the agent's profiles inside the pod, at the status port")
	set.BoolVar(&f.dryRun, "dry-run", false, "print as JSON what would run, and how, and run nothing; without POD_NAME, for pod.default")
	set.StringVar(&f.root, "root", "/", "directory under which the agent's files and sockets lie")
}

// oneProxyType takes no argument or one that the agent can run.
func oneProxyType(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("proxy takes one type, got %s", strings.Join(args, " "))
	}
	if len(args) == 1 && args[0] != "sidecar" && args[0] != "router" {
		return fmt.Errorf("proxy type %q is neither sidecar nor router", args[0])
	}
	return nil
}

// unknownFlags lists the flags on a command line that a set does not have.
func unknownFlags(set *pflag.FlagSet, args []string) []string {
	var unknown []string
	for _, arg := range args {
		if arg == "--" {
			break
		}
		name, isLong := strings.CutPrefix(arg, "--")
		name, _, _ = strings.Cut(name, "=")
		if isLong && set.Lookup(name) == nil {
			unknown = append(unknown, "--"+name)
		}
	}
	return unknown
}

// environment gives the variables by name; of two with one name the last counts.
func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok {
			env[name] = value
		}
	}
	return env
}

// newLogger gives a logger of text, or of JSON with the level's name as Istio writes it.
func newLogger(w io.Writer, levels string, asJSON bool) *slog.Logger {
	o := &slog.HandlerOptions{Level: logLevel(levels)}
	if !asJSON {
		return slog.New(slog.NewTextHandler(w, o))
	}
	o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.LevelKey {
			a.Value = slog.StringValue(strings.ToLower(a.Value.String()))
		}
		return a
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// logLevel reads Istio's form of log levels, SCOPE:LEVEL,…; the first counts for all scopes.
func logLevel(text string) slog.Level {
	first, _, _ := strings.Cut(text, ",")
	return iptablesLogLevel(first)
}
