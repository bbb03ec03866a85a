// Package usage has the command lines of all programs refuse alike what makes no sense: an argument, a flag or a
// subcommand that there is not is an error with an exit code of its own, which says what was probably meant.
package usage

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pilothouse-mesh/pilothouse/spelling"
)

// Exit is the exit code of a program whose command line makes no sense.
const Exit = 2

// Error is a command line that makes no sense.
type Error struct{ Err error }

// Error says what is wrong with it.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the error that it was made of.
func (e *Error) Unwrap() error { return e.Err }

// ExitCode is that of a program with such a command line.
func (*Error) ExitCode() int { return Exit }

// Args makes what a check of arguments finds the error of a command line.
func Args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &Error{fmt.Errorf("%w\nusage: %s", err, cmd.UseLine())}
		}
		return nil
	}
}

// likeness is the number of letters by which a suggestion may differ from what was typed.
const likeness = 2

// Group makes a command print its help, and a subcommand that it does not have an error.
func Group(cmd *cobra.Command) {
	cmd.SuggestionsMinimumDistance = likeness
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return &Error{fmt.Errorf("%s has no command %q%s", cmd.CommandPath(), args[0], didYouMean("", args[0], cmd.SuggestionsFor(args[0])))}
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// Strict makes a whole program refuse what it does not have. Its commands have to be there already: it adds those that
// cobra has for all programs, which by themselves take anything.
func Strict(root *cobra.Command) {
	Group(root)
	root.SetFlagErrorFunc(wrongFlag)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			Group(cmd)
			for _, shell := range cmd.Commands() {
				shell.Args = Args(cobra.NoArgs)
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
		return &Error{err}
	}
	if len(rest) > 0 && found.HasSubCommands() {
		return found.Args(found, rest)
	}
	if len(rest) > 0 {
		return &Error{fmt.Errorf("%s has no commands, so there is no help for %q of it", found.CommandPath(), rest[0])}
	}
	found.InitDefaultHelpFlag() // that it stands in the help as well
	return found.Help()
}

// wrongFlag makes a wrong flag an error of the command line, with the flag that was probably meant.
func wrongFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedName() == "" {
		return &Error{err}
	}
	// Flags are compared as cobra compares commands.
	names := &cobra.Command{SuggestionsMinimumDistance: likeness}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	name := unknown.GetSpecifiedName()
	return &Error{fmt.Errorf("%w%s", err, didYouMean("--", name, names.SuggestionsFor(name)))}
}

// didYouMean gives the end of a sentence, empty where nothing is near.
func didYouMean(prefix, word string, near []string) string {
	if len(near) == 0 {
		return ""
	}
	nearest := slices.MinFunc(near, func(a, b string) int { return cmp.Compare(spelling.Distance(word, a), spelling.Distance(word, b)) })
	return fmt.Sprintf("; did you mean %s%s?", prefix, nearest)
}
