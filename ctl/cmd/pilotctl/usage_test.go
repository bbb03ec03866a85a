package main

import (
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

// closed is how help lists the values of a flag that takes one of a few.
var closed = regexp.MustCompile(`(?:^|: )[a-z]+(?:, [a-z]+)* or [a-z]+$`)

func TestEveryFlagOfAClosedSetCompletes(t *testing.T) {
	found := 0
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "profile" && !closed.MatchString(f.Usage) {
				return
			}
			found++
			if _, ok := cmd.GetFlagCompletionFunc(f.Name); !ok {
				t.Errorf("%s --%s (%s) has no completion", cmd.CommandPath(), f.Name, f.Usage)
			}
		})
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(newRoot())
	if found < 10 {
		t.Errorf("only %d flags were looked at", found)
	}
}

func TestWrongUsageHasItsOwnExitCode(t *testing.T) {
	for _, args := range [][]string{
		{"manifest", "generate", "--set", "foo"},
		{"manifest", "generate", "--set", "=x"},
		{"manifest", "generate", "--profile", "no"},
		{"profile", "dump", "--set", "foo"},
		{"profile", "dump", "no"},
		{"profile", "diff", "default", "no"},
		{"analyze", "--use-kube=false"},
		{"analyze", "x", "-o", "no"},
		{"validate"},
		{"validate", "x"},
		{"translate"},
		{"translate", "x"},
		{"authz", "explain", "--to", "x/", "y"},
		{"authz", "explain", "--to", "a/b:no", "y"},
		{"authz", "no"},
		{"manifest", "no"},
		{"kube-inject"},
	} {
		if err := quietly(args...); codeOf(err) != usage.Exit {
			t.Errorf("%v: %v, exit code %d", args, err, codeOf(err))
		}
	}
}

// A subcommand that there is not is wrong usage, of every command that has some, and so is help for one.
func TestUnknownSubcommandsAreWrongUsage(t *testing.T) {
	groups := 0
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		if cmd.HasSubCommands() {
			groups++
			path := strings.Fields(cmd.CommandPath())[1:]
			for _, args := range [][]string{slices.Concat(path, []string{"nope"}), slices.Concat([]string{"help"}, path, []string{"nope"})} {
				if err := quietly(args...); codeOf(err) != usage.Exit {
					t.Errorf("%v: %v, exit code %d", args, err, codeOf(err))
				}
			}
			if err := quietly(slices.Concat([]string{"help"}, path)...); err != nil {
				t.Errorf("help of %v: %v", path, err)
			}
		} else if err := quietly(slices.Concat([]string{"help"}, strings.Fields(cmd.CommandPath())[1:])...); err != nil {
			t.Errorf("help of %s: %v", cmd.CommandPath(), err)
		}
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(newRoot())
	if groups < 8 {
		t.Errorf("only %d commands have subcommands", groups)
	}
	for _, args := range [][]string{{"completion", "bash", "nope"}, {"help", "explain", "nope"}} {
		if err := quietly(args...); codeOf(err) != usage.Exit {
			t.Errorf("%v: %v, exit code %d", args, err, codeOf(err))
		}
	}
}

// quietly runs the command line, and prints nothing.
func quietly(args ...string) error {
	cmd := newRoot()
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(args)
	return cmd.Execute()
}

// The help of every command that runs something says its exit codes.
func TestEveryCommandTellsItsExitCodes(t *testing.T) {
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		if cmd.Runnable() && !cmd.HasSubCommands() && strings.Count(cmd.Long, "Exit codes: 0 ") != 1 {
			t.Errorf("the help of %s does not tell them, or twice:\n%s", cmd.CommandPath(), cmd.Long)
		}
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(newRoot())
}
