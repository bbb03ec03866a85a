package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

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
