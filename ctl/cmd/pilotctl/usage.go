package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pilothouse-mesh/pilothouse/pilot/spelling"
)

func usageError(err error) error { return &exitError{exitUsage, err} }

// usageArgs makes a wrong number of arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError(fmt.Errorf("%w\nusage: %s", err, cmd.UseLine()))
		}
		return nil
	}
}

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

// likeness is the number of letters by which a suggestion may differ from what was typed.
const likeness = 2

// group makes a command print its help, and a subcommand that it does not have a usage error.
func group(cmd *cobra.Command) {
	cmd.SuggestionsMinimumDistance = likeness
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return usageError(fmt.Errorf("%s has no command %q%s", cmd.CommandPath(), args[0], didYouMean("", args[0], cmd.SuggestionsFor(args[0]))))
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// strictDefaults adds the commands that cobra has for all programs, and has them refuse what is not there as all others do.
func strictDefaults(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			group(cmd)
			for _, shell := range cmd.Commands() {
				shell.Args = usageArgs(cobra.NoArgs)
			}
		case "help":
			cmd.Run, cmd.RunE = nil, helpOf
		}
	}
}

// helpOf prints the help of the command that arguments name.
func helpOf(cmd *cobra.Command, args []string) error {
	root := cmd.Root()
	found, rest, err := root.Find(args)
	if err != nil { // of a command with subcommands and arguments of its own there is none
		return usageError(err)
	}
	if len(rest) > 0 {
		return found.Args(found, rest)
	}
	found.InitDefaultHelpFlag() // that it stands in the help as well
	return found.Help()
}

// wrongFlag makes a wrong flag a usage error, with the flag that was probably meant.
func wrongFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedName() == "" {
		return usageError(err)
	}
	// Flags are compared as cobra compares commands.
	names := &cobra.Command{SuggestionsMinimumDistance: likeness}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	name := unknown.GetSpecifiedName()
	return usageError(fmt.Errorf("%w%s", err, didYouMean("--", name, names.SuggestionsFor(name))))
}

// didYouMean gives the end of a sentence, empty where nothing is near.
func didYouMean(prefix, word string, near []string) string {
	if len(near) == 0 {
		return ""
	}
	nearest := slices.MinFunc(near, func(a, b string) int { return cmp.Compare(spelling.Distance(word, a), spelling.Distance(word, b)) })
	return fmt.Sprintf("; did you mean %s%s?", prefix, nearest)
}
