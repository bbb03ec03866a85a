package main

import (
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
		{"analyze"},
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
		cmd := newRoot()
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		cmd.SetArgs(args)
		if err := cmd.Execute(); codeOf(err) != exitUsage {
			t.Errorf("%v: %v, exit code %d", args, err, codeOf(err))
		}
	}
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
