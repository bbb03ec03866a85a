package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/pilothouse-mesh/pilothouse/ctl/install"
	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
)

// applyOptions are of the commands that put settings into a cluster.
type applyOptions struct {
	settings           settingsFlags
	dryRun, yes, force bool
}

func (o *applyOptions) register(flags *pflag.FlagSet) {
	o.settings.register(flags)
	flags.BoolVar(&o.dryRun, "dry-run", false, "only tell what would be done")
	flags.BoolVarP(&o.yes, "skip-confirmation", "y", false, "do not ask, at a terminal, whether to go on")
	flags.BoolVar(&o.force, "force", false, "install also where settings have no effect, or where another tool made objects of the same names")
}

// planned makes a plan of settings. What has no effect is an error, or told where it is forced.
func planned(cmd *cobra.Command, s operator.Settings, force bool) (*operator.Plan, error) {
	p, err := s.Plan()
	if err != nil {
		return nil, err
	}
	if err := install.Refuse(p, force); err != nil {
		return nil, err
	}
	for _, problem := range p.Problems {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+problem.String())
	}
	return p, nil
}

// apply shows what would be done, asks at a terminal, and does it.
func (o *applyOptions) apply(cmd *cobra.Command, f *clusterFlags, c *install.Cluster, s operator.Settings) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	p, err := planned(cmd, s, o.force)
	if err != nil {
		return err
	}
	changes, err := c.Preview(ctx, p)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "profile %s, revision %s\n", p.Profile, p.Revision)
	if err := printChanges(cmd, changes, o.dryRun); err != nil || o.dryRun {
		return err
	}
	if !o.yes {
		if err := confirm(cmd, "This is about to be done."); err != nil {
			return err
		}
	}
	if err := c.Install(ctx, s, o.force); err != nil {
		return err
	}
	if len(p.Releases) == 0 {
		_, err = fmt.Fprintln(out, "nothing was installed: the settings have no component")
		return err
	}
	_, err = fmt.Fprintln(out, "the mesh is ready; label a namespace for its pods to join: kubectl label namespace default "+injectionLabel(p.Revision))
	return err
}

// printChanges tells which objects change, and how many are made or stay; all of them with each.
func printChanges(cmd *cobra.Command, changes []install.Change, each bool) error {
	count := map[install.Action]int{}
	out := cmd.OutOrStdout()
	for _, c := range changes {
		count[c.Action]++
		if each && c.Action == install.Create || c.Action == install.Update || c.Action == install.Delete {
			fmt.Fprintf(out, "%s %s\n", c.Action, c.Object)
		}
	}
	_, err := fmt.Fprintf(out, "%d objects to create, %d to change, %d to delete; %d are as they have to be\n",
		count[install.Create], count[install.Update], count[install.Delete], count[install.Keep])
	return err
}

// confirm asks at a terminal whether to go on. Elsewhere nobody is there to answer.
func confirm(cmd *cobra.Command, about string) error {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	fmt.Fprint(cmd.OutOrStdout(), about+" Proceed? (y/N) ")
	return agreed(cmd.Context(), in)
}

// errNotAgreed ends a command that was not to go on.
var errNotAgreed = errors.New("nothing was changed")

// agreed reads an answer. A reader that still waits when ctx ends is left, since the program ends then.
func agreed(ctx context.Context, in io.Reader) error {
	answers := make(chan string, 1)
	go func() {
		answer, _ := bufio.NewReader(in).ReadString('\n')
		answers <- answer
	}()
	select {
	case <-ctx.Done():
		return errNotAgreed
	case answer := <-answers:
		if !slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(answer))) {
			return errNotAgreed
		}
		return nil
	}
}

func newUpgrade() *cobra.Command {
	var o applyOptions
	var downgrade bool
	cmd, f := inCluster("upgrade", "Put this version in the place of the one in a cluster", cobra.NoArgs,
		func(cmd *cobra.Command, f *clusterFlags, c *install.Cluster, _ []string) error {
			s, err := o.settings.read(cmd)
			if err != nil {
				return err
			}
			s.Revision = f.of()
			if s, err = c.OverRecorded(cmd.Context(), s); err != nil {
				return err
			}
			p, err := planned(cmd, s, o.force)
			if err != nil {
				return err
			}
			from, to, err := c.Upgradable(cmd.Context(), p, downgrade)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "from %s to %s\n", cmp.Or(from, "an image without a tag"), cmp.Or(to, "an image without a tag"))
			return o.apply(cmd, f, c, s)
		})
	cmd.Long = "Put another version or other settings in the place of a revision that is installed, by the settings that it was\ninstalled with, with those that are given laid over them. It shows what changes, waits until all is ready,\nand refuses to go back to an older version unless told. Pods keep their sidecars until they are started anew."
	cmd.Example = "  pilotctl upgrade --tag 1.2.0 --dry-run\n  pilotctl upgrade --tag 1.2.0 && kubectl rollout restart deployment -n shop"
	f.registerRevision(cmd.Flags())
	o.register(cmd.Flags())
	cmd.Flags().BoolVar(&downgrade, "allow-downgrade", false, "also put an older version in the place of a newer one")
	return cmd
}
