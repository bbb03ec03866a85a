package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/deploy/profiles"
)

func newProfile() *cobra.Command {
	profile := &cobra.Command{
		Use: "profile", Short: "The settings that an installation begins with",
		Example: "  pilotctl profile dump demo\n  pilotctl profile diff default minimal",
	}
	usage.Group(profile)
	profile.AddCommand(&cobra.Command{
		Use: "list", Short: "The names of the profiles", Args: usage.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range profiles.Names() {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), name); err != nil {
					return err
				}
			}
			return nil
		},
	}, newProfileDump(), newProfileDiff())
	return profile
}

func noProfile(name string) error {
	return usageError(fmt.Errorf("there is no profile %q; use one of %s", name, strings.Join(profiles.Names(), ", ")))
}

func newProfileDump() *cobra.Command {
	var f settingsFlags
	cmd := &cobra.Command{
		Use: "dump [PROFILE]", Short: "Print a profile as an IstioOperator, with files and settings over it", Args: usage.Args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.read(cmd)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				if s.Profile = args[0]; !slices.Contains(profiles.Names(), args[0]) {
					return noProfile(args[0])
				}
			}
			text, err := s.Dump()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
		ValidArgs: profiles.Names(),
	}
	f.register(cmd.Flags())
	return cmd
}

func newProfileDiff() *cobra.Command {
	return &cobra.Command{
		Use: "diff PROFILE PROFILE", Short: "Show in what two profiles differ", Args: usage.Args(cobra.ExactArgs(2)),
		Annotations: map[string]string{exitsWith: "79 they differ"},
		RunE: func(cmd *cobra.Command, args []string) error {
			var texts [2][]byte
			for i, name := range args {
				if !slices.Contains(profiles.Names(), name) {
					return noProfile(name)
				}
				var err error
				if texts[i], err = (operator.Settings{Profile: name}).Dump(); err != nil {
					return err
				}
			}
			found := diff.Diff("profile "+args[0], texts[0], "profile "+args[1], texts[1])
			if len(found) == 0 {
				return nil
			}
			if _, err := cmd.OutOrStdout().Write(found); err != nil {
				return err
			}
			return &exitError{code: exitFindings}
		},
		ValidArgs: profiles.Names(),
	}
}
