package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/debug"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/inventory"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// inMesh stands for the running mesh, in the place of a directory.
const inMesh = "mesh"

// comparison is one call of diff.
type comparison struct {
	place
	against, output, revision string
}

func newDiff(o *options) *cobra.Command {
	d := &comparison{place: place{options: o}}
	cmd := &cobra.Command{
		Use: "diff DIR|FILE [DIR|FILE...] [--against mesh|DIR]", Short: "Tell which proxies would do what otherwise, before files are applied",
		Long: `Tell which proxies would do what otherwise if the files of a directory were applied: to the
running mesh, or in the place of the files of another directory (--against DIR). Of several
directories and files an object of a later one takes the place of one of an earlier one.

In a mesh an object of the files takes the place of the one that is there, and keeps what a
cluster has given it; all others stay. Pods of a Deployment of the files get its template's labels,
ports and account, and Services of the files or of such pods select anew by labels. All pods stand
for ones made anew: where the labels of pods or Namespaces decide otherwise on injection, they
gain or lose their proxy. "-" is standard input. Objects without a namespace are of namespace default. The control
plane tells of its objects, without the keys of Secrets, and the proxies' configuration is made
here; nothing is changed.

What changes is told once, below the proxies for which it holds, those of the most proxies first. Of each group
come first the requests that are answered otherwise: what becomes of them, before -> after, and what is different on
the way (timeout, retries, headers, servers, TLS). Then come the resources that are added, removed or changed.
Many requests, or resources, that change alike are a single line, which counts them and names some. JSON and YAML
have all that changes of each proxy.
At most 4,000 requests to a host are tried.

Requests are made up from the conditions of routes and the rules of policies, old and new: a value
for each way in which these are told apart. Only what comes to something that differs is tried. Of regular
expressions with a thousand states or more some ways may not be found, but the changed resource is named. "any"
stands for a workload that the files do not have, istio-ingressgateway for the usual gateway, and a
Gateway's name for another. What a control
plane would refuse of the files is said on standard error. A running mesh is taken not to get it. Of
two directories each has what denies in the place of such a policy, as "refused:KIND:NAME".

` + injectionHelp + `

Exit codes: 0 nothing differs, 79 something does, 1 a file cannot be read or the mesh does not
answer, 2 wrong usage.`,
		Example: "  pilotctl diff new\n  pilotctl diff new --against samples/bookinfo\n  pilotctl diff samples/bookinfo rule.yaml --against samples/bookinfo\n  kustomize build | pilotctl diff -",
		Args:    usage.Args(cobra.MinimumNArgs(1)),

		ValidArgsFunction: manifests,
		RunE:              func(cmd *cobra.Command, args []string) error { return d.run(cmd, args) },
	}
	d.register(cmd)
	cmd.Flags().StringVar(&d.against, "against", inMesh, `directory or file that is in force now, or "mesh" for the running mesh`)
	cmd.Flags().StringVarP(&d.output, "output", "o", "lines", "lines, json or yaml")
	cmd.Flags().StringVar(&d.revision, "revision", "", "revision of the control plane, where the mesh has several: its objects and its proxies")
	completion(cmd, "output", words("lines", "json", "yaml"))
	completion(cmd, "against", func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		files, directive := manifests(cmd, args, prefix)
		return append(files, inMesh), directive
	})
	return cmd
}

func (d *comparison) run(cmd *cobra.Command, names []string) error {
	if err := outputIs(d.output, "lines", "json", "yaml"); err != nil {
		return err
	}
	p := startProgress(cmd.ErrOrStderr(), time.NewTicker(progressEvery))
	defer p.end()
	of := twoDirectories
	if d.against == inMesh {
		of = d.onTheMesh
	}
	p.now("makes what proxies run")
	before, after, err := of(cmd, d.against, names)
	if err != nil {
		return err
	}
	names = slices.Concat(before.Unresolved(), after.Unresolved())
	slices.Sort(names)
	if err := tellUnresolved(cmd.ErrOrStderr(), slices.Compact(names)); err != nil {
		return err
	}
	differ := explain.NewDiffer()
	differ.Tell = p.now
	groups, all, err := compareProxies(cmd.Context(), before, after, differ, p.now)
	if err != nil {
		return err
	}
	p.end()
	if err := printDiff(cmd.OutOrStdout(), d.output, groups, all); err != nil {
		return err
	}
	if len(groups) > 0 {
		return &exitError{code: exitFindings}
	}
	return nil
}

// twoDirectories gives what workloads would run by either.
func twoDirectories(cmd *cobra.Command, former string, names []string) (before, after *analyze.Translation, err error) {
	old, err := (&analysis{layered: true}).files(cmd.InOrStdin(), []string{former})
	if err != nil {
		return nil, nil, err
	}
	files, err := filesOf(cmd, cmd.ErrOrStderr(), names)
	if err != nil {
		return nil, nil, err
	}
	return analyze.Compare(cmd.Context(), old, files)
}

// onTheMesh gives what the proxies of the running mesh run, and would run.
func (d *comparison) onTheMesh(cmd *cobra.Command, _ string, names []string) (before, after *analyze.Translation, err error) {
	files, err := (&analysis{layered: true}).files(cmd.InOrStdin(), names)
	if err != nil {
		return nil, nil, err
	}
	if err := tellErrors(cmd.ErrOrStderr(), analyze.Objects(files)); err != nil {
		return nil, nil, err
	}
	m, err := d.reach()
	if err != nil {
		return nil, nil, err
	}
	defer m.close()
	one, err := ofRevision(cmd.Context(), m, d.revision)
	if err != nil {
		return nil, nil, err
	}
	running, err := readRunning(cmd.Context(), one)
	if err != nil {
		return nil, nil, err
	}
	return running.Compare(cmd.Context(), files)
}

// readRunning asks a control plane what it has, and all replicas of it for their proxies. One that only starts is asked
// again.
func readRunning(ctx context.Context, m reached, kinds ...string) (*analyze.Running, error) {
	query := url.Values{"kind": kinds}.Encode()
	data, err := askedAgain(ctx, func() ([]byte, error) {
		return m.control(ctx, strings.TrimSuffix(debug.ObjectsPath+"?"+query, "?"))
	})
	if err != nil {
		return nil, err
	}
	out := &analyze.Running{}
	if out.Inventory, err = inventory.Read(bytes.NewReader(data)); err != nil {
		return nil, fmt.Errorf("the control plane's objects: %w", err)
	}
	var silent []error
	if out.Proxies, silent, err = connected(ctx, m); err == nil {
		err = errors.Join(silent...) // of its proxies nothing could be said
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// connected gives the proxies that are connected to control planes, and why some of those did not answer.
func connected(ctx context.Context, m reached) (out []model.Proxy, silent []error, err error) {
	all, silent, err := m.lists(ctx, debug.ProxiesPath)
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{} // a proxy that reconnects has two streams for a moment
	for _, data := range all {
		var p model.Proxy
		if err := json.Unmarshal(data, &p); err != nil {
			return nil, nil, fmt.Errorf("the control plane's proxies: %w", err)
		}
		if !seen[p.ID] {
			seen[p.ID] = true
			out = append(out, p)
		}
	}
	return out, silent, nil
}

// configOf gives what a proxy runs of what files or a mesh make for it.
func configOf(p analyze.Proxy) *explain.Config {
	c := explain.NewConfig(p.Resources)
	c.Gateway, c.Ports, c.UDPPorts = p.Kind == model.RouterProxy, p.Ports, p.UDPPorts
	c.SecretsKnown, c.SecretProblem = true, secretProblem(p.Namespace, p.Problems)
	return c
}

// secretProblem says, by what a control plane reports, why a proxy of a namespace does not have a Secret. What to do
// about it, which the report says after that, is left out.
func secretProblem(namespace string, problems []model.Problem) func(string) string {
	return func(name string) string {
		own := strings.TrimPrefix(name, namespace+"/")
		base := strings.TrimSuffix(own, model.AuthoritiesSuffix)
		for _, p := range problems {
			if p.Object.Kind == model.KindSecret && p.Object.Namespace == namespace && (p.Object.Name == own || p.Object.Name == base) {
				why, _, _ := strings.Cut(p.Message, "; ")
				return p.Field + " " + why
			}
		}
		for _, p := range problems {
			if p.Reason == model.ReasonReference && p.Object.Kind == model.KindGateway && strings.Contains(p.Message, "there is no Secret "+own+" ") {
				why, _, _ := strings.Cut(p.Message, "; ")
				return why
			}
		}
		return ""
	}
}

// filesOf reads files, and tells errs what is wrong with them.
func filesOf(cmd *cobra.Command, errs io.Writer, names []string) ([]analyze.File, error) {
	files, err := (&analysis{layered: true}).files(cmd.InOrStdin(), names)
	if err != nil {
		return nil, err
	}
	found, err := analyze.Files(cmd.Context(), files)
	if err != nil {
		return nil, err
	}
	return files, tellErrors(errs, found)
}

// tellErrors prints the findings that are errors.
func tellErrors(w io.Writer, found []analyze.Finding) error {
	found = slices.DeleteFunc(found, func(f analyze.Finding) bool { return f.Level != analyze.Error })
	if len(found) == 0 {
		return nil
	}
	return printLog(w, listed(found))
}
