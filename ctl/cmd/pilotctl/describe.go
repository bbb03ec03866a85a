package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// description is one call of describe.
type description struct {
	place
	namespace, output string
	files             []string
	trouble           trouble  // of the files, or of the running mesh
	silent            []error  // why control planes did not answer
	unresolved        []string // gateways that the files name and nobody looks up
	// refused is what the proxy of a pod refused; nil where no proxy is described, and all that is refused is told.
	refused []model.Problem
}

// newDescribe is a command of pilotctl, and of its experimental ones, as istioctl has it.
func newDescribe(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "describe", Aliases: []string{"des"}, Short: "Tell what of the configuration is about a pod or a service"}
	usage.Group(cmd)
	cmd.AddCommand(
		describing(o, "pod POD", nil, "Tell which services, routes, settings and policies are about a pod", (*description).pod),
		describing(o, "service SVC|HOST", []string{"svc"}, "Tell which routes, settings and policies are about a service", (*description).service),
	)
	return cmd
}

func describing(o *options, use string, aliases []string, short string, tell func(*description, context.Context, io.Reader, string) (analyze.Description, error)) *cobra.Command {
	d := &description{place: place{options: o}}
	cmd := &cobra.Command{
		Use: use, Aliases: aliases, Short: short, Args: usage.Args(cobra.ExactArgs(1)),
		Long: short + `: in the running mesh, or in files (-f), of which a workload
counts as a pod. A name may have its namespace, as NAME.NAMESPACE. A service may also be named by its
host, as those of a ServiceEntry are.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := outputIs(d.output, "text", "json", "yaml"); err != nil {
				return err
			}
			told, err := tell(d, cmd.Context(), cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			if d.output != "text" {
				err = printDocument(cmd.OutOrStdout(), proxyconfig.Format(d.output), told)
			} else {
				_, err = io.WriteString(cmd.OutOrStdout(), describe(told))
			}
			if err == nil {
				err = tellUnresolved(cmd.ErrOrStderr(), d.unresolved)
			}
			if err != nil {
				return err
			}
			return tellSilent(cmd, d.silent)
		},
	}
	if strings.HasPrefix(use, "pod") {
		cmd.ValidArgsFunction = d.completePods
	}
	d.register(cmd)
	f := cmd.Flags()
	f.StringVarP(&d.namespace, "namespace", "n", "default", "namespace of a name that has none")
	f.StringVarP(&d.output, "output", "o", "text", "text, json or yaml")
	f.StringArrayVarP(&d.files, "filename", "f", nil, "a file or directory of objects, in the place of the running mesh; may be given several times")
	return cmd
}

// translated gives what the files come to.
func (d *description) translated(ctx context.Context, in io.Reader) (*analyze.Translation, error) {
	files, err := (&analysis{layered: true}).files(in, d.files)
	if err != nil {
		return nil, err
	}
	found, err := analyze.Files(ctx, files)
	if err != nil {
		return nil, err
	}
	d.trouble = newTrouble(files, found, d.files)
	t, err := analyze.Translate(ctx, files, resolve.Settings{})
	if err != nil {
		return nil, err
	}
	d.unresolved = t.Unresolved()
	return t, nil
}

// troubled adds the errors that touch what is described: an object that was refused is not among what
// the proxies run.
func (d *description) troubled(t *analyze.Translation, told analyze.Description) analyze.Description {
	way := wayTaken{objects: map[model.Key]bool{}, proxies: told.Of, servers: told.Of, root: t.RootNamespace()}
	for _, key := range told.About {
		way.objects[key] = true
	}
	for _, s := range told.Services {
		way.hosts = append(way.hosts, s.Host)
	}
	var found []model.Problem
	for _, f := range d.trouble.found {
		if !way.objects[f.Object] && !d.touches(f, way) {
			continue
		}
		// What a proxy's configuration came to at the same field is the same problem, said without its line.
		told.Problems = slices.DeleteFunc(told.Problems, func(p model.Problem) bool {
			return p.Object == f.Object && p.Field == f.Field && (p.Field != "" || p.Message == f.Message)
		})
		found = append(found, model.Problem{Object: f.Object, Field: f.Field, Message: f.Message, Origin: f.Origin})
	}
	told.Problems = append(told.Problems, found...)
	return told.Told()
}

// touches tells whether an error is about what is described. A gateway serves all hosts of the Gateways that select it.
func (d *description) touches(f analyze.Finding, way wayTaken) bool {
	if m, known := d.trouble.about[f.Object]; known && f.Object.Kind == model.KindGateway {
		return slices.ContainsFunc(way.proxies, func(p analyze.Proxy) bool {
			return p.Kind == model.RouterProxy && model.HasLabels(p.Labels(), m.selector())
		})
	}
	return d.trouble.touches(f, way)
}

func (d *description) pod(ctx context.Context, in io.Reader, name string) (analyze.Description, error) {
	pod, namespace, ok := workloadNamed(name, d.namespace)
	if !ok {
		return analyze.Description{}, usageError(fmt.Errorf("%q is no pod; give POD, POD.NAMESPACE or NAMESPACE/WORKLOAD", name))
	}
	if len(d.files) == 0 {
		return d.runningPod(ctx, pod+"."+namespace)
	}
	t, err := d.translated(ctx, in)
	if err != nil {
		return analyze.Description{}, err
	}
	i := slices.IndexFunc(t.Proxies, func(p analyze.Proxy) bool { return p.Name == pod && p.Namespace == namespace })
	if i >= 0 {
		return d.troubled(t, t.DescribeWorkload(t.Proxies[i]).Made()), nil
	}
	if told, ok := t.DescribeOutside(namespace, pod); ok {
		return d.troubled(t, told), nil
	}
	return analyze.Description{}, noWorkload(pod+"."+namespace, workloads(t))
}

func (d *description) service(ctx context.Context, in io.Reader, name string) (analyze.Description, error) {
	short, namespace, ok := strings.Cut(name, ".")
	if !ok {
		namespace = d.namespace
	}
	if len(d.files) == 0 {
		return d.runningService(ctx, namespace, short, name)
	}
	t, err := d.translated(ctx, in)
	if err != nil {
		return analyze.Description{}, err
	}
	out, ok := d.serviceIn(t, namespace, short, name)
	if !ok {
		return out, noService(namespace, short, name, t.ServiceNames(d.namespace))
	}
	return d.troubled(t, out.Made()), nil
}

// completePods completes the first argument with the pods of the mesh, or the workloads of the files.
func (d *description) completePods(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(d.files) > 0 && len(args) == 0 {
		return (&explanation{}).completeWorkloads(cmd.Context(), d.files)
	}
	return d.place.completePods(cmd, args, prefix)
}

// describe writes a description as lines.
func describe(d analyze.Description) string {
	var w describer
	others := "Subsets"
	if d.Workload != "" {
		others = "Other subsets"
		if d.Outside == "" {
			w.line(0, "Pod: %s (%s)", d.Workload, d.Kind)
			w.line(1, "Identity: %s", d.Identity)
		} else {
			w.line(0, "Pod: %s (not in the mesh)", d.Workload)
			w.line(1, "It has no sidecar: %s", d.Outside)
		}
		if len(d.Services) == 0 {
			w.line(0, "No Service selects it")
		}
	}
	for _, s := range d.Services {
		w.service(s, others)
	}
	for _, g := range d.Gateways {
		w.gateway(g)
	}
	w.rule()
	w.applied(d)
	return w.String()
}

// describer writes the parts of a description.
type describer struct{ strings.Builder }

func (w *describer) line(indent int, format string, args ...any) {
	w.WriteString(strings.Repeat("   ", indent) + terminal.Text(fmt.Sprintf(format, args...)) + "\n")
}

// rule separates a part from the one before.
func (w *describer) rule() { w.line(0, "--------------------") }

// service writes a service and the rules of it. Subsets that the described workload is not in are called others.
func (w *describer) service(s analyze.Exposed, others string) {
	w.rule()
	w.line(0, "%s (%s)", s.Object, s.Host)
	for _, p := range s.Ports {
		text := fmt.Sprintf("Port: %s %d/%s", p.Name, p.Port, p.Protocol)
		if p.TargetPort != 0 {
			text += fmt.Sprintf(" leads to %d", p.TargetPort)
		}
		w.line(1, "%s", text)
	}
	for _, by := range s.NotSeenBy {
		w.line(1, "Not seen by %s", by)
	}
	for _, r := range s.DestinationRules {
		w.line(0, "%s for %q%s", r.Object, s.Host, ofClients(r.Clients))
		for _, of := range []struct {
			what  string
			names []string
		}{{"Matching subsets", r.Matching}, {others, r.Others}, {"Traffic policy", r.Settings}} {
			if len(of.names) > 0 {
				w.line(1, "%s: %s", of.what, strings.Join(of.names, ", "))
			}
		}
	}
	for _, v := range s.VirtualServices {
		w.line(0, "%s for %s%s", v.Object, strings.Join(v.Gateways, ", "), ofClients(v.Clients))
		for _, r := range v.Rules {
			w.line(1, "%s", r)
		}
		if v.Elsewhere > 0 {
			w.line(1, "rules that lead elsewhere: %d", v.Elsewhere)
		}
	}
}

// ofClients says whose rules those are that are not all clients'.
func ofClients(who string) string {
	if who == "" {
		return ""
	}
	return ", of clients " + who
}

// gateway writes what a Gateway object has a proxy serve.
func (w *describer) gateway(g analyze.ServedGateway) {
	w.rule()
	w.line(0, "%s", g.Object)
	for _, s := range g.Servers {
		w.line(1, "Server: %s", s)
	}
	for _, v := range g.VirtualServices {
		w.line(1, "%s for %s", v.Object, strings.Join(v.Hosts, ", "))
	}
}

// applied writes what counts for the whole workload, and what is wrong.
func (w *describer) applied(d analyze.Description) {
	for _, m := range d.MutualTLS {
		where, by := "all ports", m.Object
		if m.Port != 0 {
			where = fmt.Sprintf("port %d", m.Port)
		}
		if by == "" {
			by = "the default"
		}
		w.line(0, "Effective PeerAuthentication of %s: %s, by %s", where, m.Mode, by)
	}
	for _, p := range d.Policies {
		w.line(0, "Applied policy: %s", p)
	}
	for _, s := range d.Settings {
		w.line(0, "Applied settings: %s", s)
	}
	for _, p := range d.Said {
		w.line(0, "Problem: %s", p)
	}
}
