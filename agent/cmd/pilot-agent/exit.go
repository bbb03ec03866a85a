package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

// ExitCode is that of a wrong command line.
func (*usageError) ExitCode() int { return 2 }

// usage makes the errors of an argument check those of a wrong command line.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &usageError{err}
		}
		return nil
	}
}

// exitCode is that of an error; Envoy's own fate and a wrong command line have their own.
func exitCode(err error) int {
	var coder interface{ ExitCode() int }
	if errors.As(err, &coder) && coder.ExitCode() > 0 {
		return coder.ExitCode()
	}
	return 1
}
