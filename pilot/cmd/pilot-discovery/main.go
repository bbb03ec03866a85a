// Command pilot-discovery is the control plane: it reads the mesh's configuration and serves
// proxies with what follows from it. This package turns flags and environment into a Config;
// pilot/discovery does the rest.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/pilot/discovery"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "pilot-discovery: "+err.Error())
		os.Exit(exitCode(err))
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use: "pilot-discovery", Short: "The control plane of the mesh.", SilenceUsage: true, SilenceErrors: true,
	}
	root.AddCommand(discoveryCommand(), &cobra.Command{
		Use: "version", Short: "Print the version.", Args: usage.Args(cobra.NoArgs),
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), release()) },
	})
	usage.Strict(root)
	return root
}

// exitCode is 2 for a command line that makes no sense, and 1 for all else.
func exitCode(err error) int {
	var wrong *usage.Error
	if errors.As(err, &wrong) {
		return usage.Exit
	}
	return 1
}

func discoveryCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "discovery", Short: "Serve proxies.", Args: usage.Args(cobra.NoArgs),
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true}, // charts for Istio pass more
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(cmd.ErrOrStderr(), o.logLevel)
			if err != nil {
				return err
			}
			if err := checkUnknown(cmd, os.Args[1:], log); err != nil {
				return err
			}
			limitMemory(os.Getenv("GOMEMLIMIT"), os.DirFS("/"), log)
			o.Logger, o.Version, o.Name = log, release(), replicaName()
			o.Stalled = func() { giveUp(cmd.ErrOrStderr(), log, dumpTime, os.Exit) }
			if err := o.environment(); err != nil {
				return err
			}
			return o.traced(cmd.Context(), discovery.Run)
		},
	}
	o.register(cmd.Flags())
	return cmd
}

// version is the control plane's release; the linker sets it.
var version string

// release gives the version, or else that of the module, or the commit that it was built from.
func release() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "dev-" + s.Value[:12]
		}
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return "dev"
}
