package main

import (
	"cmp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

func usageError(err error) error { return &usage.Error{Err: err} }

// exitsWith is where a command notes the exit codes that it has beside the usual ones.
const exitsWith = "exit codes"

// usualExits are the exit codes that every command has.
const usualExits = "0 success, 1 failure, 2 wrong usage"

// tellExits has the help of each command say its exit codes, where it does not do so itself.
func tellExits(cmd *cobra.Command) {
	if cmd.Runnable() && !cmd.HasSubCommands() && !strings.Contains(cmd.Long, "Exit codes:") {
		codes := usualExits
		if more := cmd.Annotations[exitsWith]; more != "" {
			codes += ", " + more
		}
		cmd.Long = cmp.Or(cmd.Long, cmd.Short) + "\n\nExit codes: " + codes + "."
	}
	for _, sub := range cmd.Commands() {
		tellExits(sub)
	}
}
