// Command pilotctl runs a whole mesh on one machine and shows what control plane and proxies do.
//
// Exit codes: 0 success; 1 a failure, told in one sentence; 2 wrong usage; 3 this machine lacks
// what a mesh needs; 4 proxy-status found a proxy that does not run what it was sent; 79 analyze found
// what is at least as bad as --failure-threshold, or diff that something differs; 80 explain found that no server gets
// the request, or authz explain that it is denied. exec exits with the command's own code.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/localnode/state"
)

// version is set by the build.
var version = "dev"

// The exit codes that scripts may rely on.
const (
	exitFailure   = 1
	exitPreflight = 3
	exitDiffers   = 4
	exitFindings  = 79 // as of Istio's tool
	exitUnserved  = 80
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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	var exit *exitError
	if !errors.As(err, &exit) || exit.err != nil {
		fmt.Fprintln(os.Stderr, "pilotctl:", terminal.Lines(err.Error()))
	}
	os.Exit(codeOf(err))
}

// codeOf is the exit code of a command that ended with an error, or with none.
func codeOf(err error) int {
	var exit *exitError
	var wrong *usage.Error
	var name *state.NameError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &name):
		return usage.Exit
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &wrong):
		return usage.Exit
	}
	return exitFailure
}
