package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
)

func newDiff() *cobra.Command {
	var against, output string
	cmd := &cobra.Command{
		Use: "diff DIR --against DIR", Short: "Tell which proxies would do what otherwise, before files are applied",
		Long: `Tell which proxies would do what otherwise by the files of a directory than by those of another.

For each workload: requests that its routes name and that are answered otherwise, then resources
that are added, removed or changed. Requests are made up from the routes' conditions (paths,
prefixes, values of headers); what only a regular expression tells apart is not found by them,
but the changed resource is named.

Exit codes: 0 nothing differs, 79 something does, 1 a file cannot be read, 2 wrong usage.`,
		Example: "  pilotctl diff new --against samples/bookinfo",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := outputIs(output, "lines", "json", "yaml"); err != nil {
				return err
			}
			if against == "" {
				return usageError(errors.New("name the directory to compare with: --against DIR"))
			}
			changes, err := diffs(cmd.Context(), against, args[0])
			if err != nil {
				return err
			}
			if err := printDiff(cmd.OutOrStdout(), output, changes); err != nil {
				return err
			}
			if len(changes) > 0 {
				return &exitError{code: exitFindings}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&against, "against", "", "directory or file that is in force now")
	cmd.Flags().StringVarP(&output, "output", "o", "lines", "lines, json or yaml")
	completion(cmd, "output", words("lines", "json", "yaml"))
	return cmd
}

// diffs gives the changes by workload.
func diffs(ctx context.Context, before, after string) (map[string][]explain.Change, error) {
	a, err := proxiesOf(ctx, before)
	if err != nil {
		return nil, err
	}
	b, err := proxiesOf(ctx, after)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	out := map[string][]explain.Change{}
	for name := range all {
		switch {
		case a[name] == nil:
			out[name] = []explain.Change{{Resource: "workload", After: "added"}}
		case b[name] == nil:
			out[name] = []explain.Change{{Resource: "workload", Before: "there", After: "removed"}}
		default:
			if changes := explain.Diff(a[name], b[name]); len(changes) > 0 {
				out[name] = changes
			}
		}
	}
	return out, nil
}

// translate makes what the workloads of directories and files would run; an object of a later one counts.
func translate(ctx context.Context, names ...string) (*analyze.Translation, error) {
	files, err := (&analysis{}).files(nil, names)
	if err != nil {
		return nil, err
	}
	return analyze.Translate(ctx, files)
}

// proxiesOf gives what each workload of a directory would run.
func proxiesOf(ctx context.Context, name string) (map[string]*explain.Config, error) {
	t, err := translate(ctx, name)
	if err != nil {
		return nil, err
	}
	out := map[string]*explain.Config{}
	for _, p := range t.Proxies {
		out[fmt.Sprintf("%s %s.%s", p.Kind, p.Name, p.Namespace)] = explain.NewConfig(p.Resources)
	}
	return out, nil
}

func printDiff(w io.Writer, output string, changes map[string][]explain.Change) error {
	if output != "lines" {
		return printDocument(w, proxyconfig.Format(output), changes)
	}
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		if _, err := fmt.Fprintln(w, name); err != nil {
			return err
		}
		for _, c := range changes[name] {
			if _, err := fmt.Fprintln(w, "  "+c.String()); err != nil {
				return err
			}
		}
	}
	return nil
}
