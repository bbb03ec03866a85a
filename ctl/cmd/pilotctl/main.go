// Command pilotctl runs a whole mesh on one machine and shows what control plane and proxies do.
//
// Exit codes: 0 success; 1 a failure, told in one sentence; 2 wrong usage; 3 this machine lacks
// what a mesh needs; 4 proxy-status found a proxy that does not run what it was sent. exec exits
// with the command's own code.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the build.
var version = "dev"

// The exit codes that scripts may rely on.
const (
	exitFailure   = 1
	exitUsage     = 2
	exitPreflight = 3
	exitDiffers   = 4
)

// exitError ends the program with a code of its own.
type exitError struct {
	code int
	err  error // nil where everything was said already
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usageError(err error) error { return &exitError{exitUsage, err} }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	code := exitFailure
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
		err = exit.err
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pilotctl:", err)
	}
	os.Exit(code)
}

// options are what every command for a local mesh takes.
type options struct {
	name      string // of the mesh
	stateRoot string
}

func newRoot() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:   "pilotctl",
		Short: "Run a service mesh on this machine, and see what it does",
		Long: `Run a service mesh on this machine, and see what it does.

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 this machine lacks what a mesh needs,
4 proxy-status found a proxy that does not run what it was sent; exec exits with the
command's own code.`,
		SilenceUsage: true, SilenceErrors: true, Version: version,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(err) })
	root.PersistentFlags().StringVar(&o.name, "name", "default", "name of the local mesh")
	root.PersistentFlags().StringVar(&o.stateRoot, "state-root", "/run/pilothouse", "where local meshes keep their state")
	root.AddCommand(newUp(&o), newDown(&o), newExec(&o), newLogs(&o), newProxyStatus(&o), newProxyConfig(&o), newProblems(&o), newVersion())
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err
		},
	}
}

// usageArgs makes a wrong number of arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError(fmt.Errorf("%w\nusage: %s", err, cmd.UseLine()))
		}
		return nil
	}
}
