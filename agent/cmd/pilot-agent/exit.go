package main

import "errors"

// exitCode is that of an error; Envoy's own fate and a wrong command line have their own.
func exitCode(err error) int {
	var coder interface{ ExitCode() int }
	if errors.As(err, &coder) && coder.ExitCode() > 0 {
		return coder.ExitCode()
	}
	return 1
}
