package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/install"
	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

func newTag() *cobra.Command {
	tag := &cobra.Command{
		Use: "tag", Short: "Names by which namespaces choose a revision",
		Long:    "Names by which namespaces and pods choose a revision of the control plane. A namespace that is labelled\nistio.io/rev=TAG gets its sidecars of the tag's revision, and moves with the tag when its pods are started again.",
		Example: "  pilotctl install --revision canary --profile minimal\n  pilotctl tag set prod --revision canary\n  kubectl label namespace shop istio.io/rev=prod",
	}
	usage.Group(tag)
	tag.AddCommand(newTagSet(), newTagGenerate(), newTagList(), newTagRemove())
	return tag
}

// inCluster gives a subcommand that does something in a cluster.
func inCluster(use, short string, args cobra.PositionalArgs, do func(cmd *cobra.Command, f *clusterFlags, c *install.Cluster, args []string) error) (*cobra.Command, *clusterFlags) {
	f := &clusterFlags{}
	cmd := &cobra.Command{
		Use: use, Short: short, Args: usage.Args(args),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.open(cmd)
			if err != nil {
				return err
			}
			return do(cmd, f, c, args)
		},
	}
	f.registerCluster(cmd)
	return cmd, f
}

func withRevision(cmd *cobra.Command, f *clusterFlags) *cobra.Command {
	cmd.Flags().StringVar(&f.revision, "revision", "", "revision that the tag stands for")
	return cmd
}

func newTagSet() *cobra.Command {
	var overwrite bool
	cmd, f := inCluster("set TAG --revision REVISION", "Make a tag, or have it stand for another revision", cobra.ExactArgs(1),
		func(cmd *cobra.Command, f *clusterFlags, c *install.Cluster, args []string) error {
			if f.revision == "" {
				return usageError(errors.New("say which revision, with --revision"))
			}
			if err := c.SetTag(cmd.Context(), f.revision, args[0], overwrite); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "tag %s stands for revision %s; pods that are started from now on get its sidecars: kubectl label namespace NAME istio.io/rev=%s\n", args[0], f.revision, args[0])
			return err
		})
	cmd.Flags().BoolVar(&overwrite, "overwrite", false, "also if the tag stands for another revision now")
	return withRevision(cmd, f)
}

func newTagGenerate() *cobra.Command {
	return withRevision(inCluster("generate TAG --revision REVISION", "Print the objects of a tag as YAML", cobra.ExactArgs(1),
		func(cmd *cobra.Command, f *clusterFlags, c *install.Cluster, args []string) error {
			if f.revision == "" {
				return usageError(errors.New("say which revision, with --revision"))
			}
			objects, err := c.TagObjects(cmd.Context(), f.revision, args[0])
			if err != nil {
				return err
			}
			return printObjects(cmd.OutOrStdout(), objects)
		}))
}

func newTagList() *cobra.Command {
	var output string
	cmd, _ := inCluster("list", "The tags, their revisions and the namespaces that chose them", cobra.NoArgs,
		func(cmd *cobra.Command, _ *clusterFlags, c *install.Cluster, _ []string) error {
			format, err := proxyconfig.ParseFormat(output)
			if err != nil {
				return usageError(err)
			}
			tags, err := c.Tags(cmd.Context())
			if err != nil {
				return err
			}
			if format != proxyconfig.Short {
				return printDocument(cmd.OutOrStdout(), format, tags)
			}
			var rows [][]string
			for _, t := range tags {
				rows = append(rows, []string{t.Name, t.Revision, strings.Join(t.Namespaces, ",")})
			}
			return terminal.Table(cmd.OutOrStdout(), 1, []string{"TAG", "REVISION", "NAMESPACES"}, rows)
		})
	cmd.Flags().StringVarP(&output, "output", "o", "short", "short, json or yaml")
	completion(cmd, "output", words("short", "json", "yaml"))
	return cmd
}

func newTagRemove() *cobra.Command {
	cmd, _ := inCluster("remove TAG", "Take a tag away; pods that run keep their sidecars", cobra.ExactArgs(1),
		func(cmd *cobra.Command, _ *clusterFlags, c *install.Cluster, args []string) error {
			return c.RemoveTag(cmd.Context(), args[0])
		})
	return cmd
}
