package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/install"
	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
)

func newVerifyInstall() *cobra.Command {
	var settings settingsFlags
	cmd, f := inCluster("verify-install", "Look whether all of an installation is there and ready", cobra.NoArgs,
		func(cmd *cobra.Command, f *clusterFlags, c *install.Cluster, _ []string) error {
			s, err := settings.read(cmd)
			if err != nil {
				return err
			}
			s.Revision = f.of()
			plans, err := installations(cmd, c, s)
			if err != nil {
				return err
			}
			var checked, wrong int
			for _, p := range plans {
				n, faults, err := c.Verify(cmd.Context(), p)
				if err != nil {
					return err
				}
				for _, line := range faults {
					fmt.Fprintln(cmd.OutOrStdout(), line)
				}
				checked, wrong = checked+n, wrong+len(faults)
			}
			if wrong > 0 {
				return fmt.Errorf("%d of %d objects of the installation are not as they have to be", wrong, checked)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "all %d objects of the installation are there and ready\n", checked)
			return err
		})
	cmd.Long = "Look whether all of an installation is there and ready, by the settings that it was installed with, with those\nthat are given laid over them."
	f.registerRevision(cmd.Flags())
	settings.register(cmd.Flags())
	return cmd
}

// installations gives the plans of what was installed of a revision: of all where nothing is said about them,
// else of that which the settings mean.
func installations(cmd *cobra.Command, c *install.Cluster, s operator.Settings) ([]*operator.Plan, error) {
	var all []operator.Settings
	if len(s.Files)+len(s.Set) == 0 && s.Profile+s.Hub+s.Tag == "" {
		recorded, err := c.Recorded(cmd.Context(), s.Revision)
		if err != nil {
			return nil, err
		}
		for _, f := range recorded {
			all = append(all, operator.Settings{Revision: s.Revision, Files: []operator.File{f}})
		}
	}
	if all == nil {
		over, err := c.OverRecorded(cmd.Context(), s)
		if err != nil {
			return nil, err
		}
		all = append(all, over)
	}
	var out []*operator.Plan
	for _, s := range all {
		p, err := s.Plan()
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}
