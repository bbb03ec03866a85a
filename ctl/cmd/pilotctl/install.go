package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/ctl/install"
	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/deploy/profiles"
	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
)

// clusterFlags lead to a cluster, and to a revision in it.
type clusterFlags struct {
	kubeconfig, context string
	revision            string
	timeout             time.Duration
}

func (f *clusterFlags) registerCluster(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.kubeconfig, "kubeconfig", "c", "", "how to reach the cluster (default $KUBECONFIG, else ~/.kube/config)")
	cmd.Flags().StringVar(&f.context, "context", "", "context of the kubeconfig")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long to wait until all is ready")
}

func (f *clusterFlags) registerRevision(flags *pflag.FlagSet) {
	flags.StringVarP(&f.revision, "revision", "r", "", "revision of the control plane (default \"default\")")
}

// of gives the revision that is meant.
func (f *clusterFlags) of() string { return cmp.Or(f.revision, inject.DefaultRevision) }

// rest tells how the cluster is reached, as kubectl does.
func (f *clusterFlags) rest() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: f.context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("no cluster is known: %w; name one with --kubeconfig", err)
	}
	config.QPS = -1
	return config, nil
}

// open reaches the cluster.
func (f *clusterFlags) open(cmd *cobra.Command) (*install.Cluster, error) {
	config, err := f.rest()
	if err != nil {
		return nil, err
	}
	return install.Open(config, func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) })
}

// settingsFlags say what is installed.
type settingsFlags struct {
	files     []string
	namespace string
	operator.Settings
}

func (f *settingsFlags) register(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&f.files, "filename", "f", nil, "file of kind IstioOperator; given several times, a later one is laid over the former; - is standard input")
	flags.StringArrayVarP(&f.Set, "set", "s", nil, "one setting, PATH=VALUE below spec of an IstioOperator, e.g. values.global.proxy.privileged=true or components.egressGateways[name:istio-egressgateway].enabled=true")
	flags.StringVar(&f.Profile, "profile", "", "what the settings are laid over, see pilotctl profile list (default \"default\")")
	flags.StringVarP(&f.namespace, "istioNamespace", "i", "", "namespace of the control plane, as --set values.global.istioNamespace (default \"istio-system\")")
	flags.StringVar(&f.Hub, "hub", "", "registry and path of the images (default \"pilothouse\")")
	flags.StringVar(&f.Tag, "tag", "", "tag of the images (default \"dev\")")
}

// read reads the files.
func (f *settingsFlags) read(cmd *cobra.Command) (operator.Settings, error) {
	s := f.Settings
	for _, set := range f.Set {
		if path, _, ok := strings.Cut(set, "="); !ok || path == "" {
			return s, usageError(fmt.Errorf("--set %s: it has to be PATH=VALUE", set))
		}
	}
	if f.Profile != "" && !slices.Contains(profiles.Names(), f.Profile) {
		return s, usageError(fmt.Errorf("--profile %s: use one of %s", f.Profile, strings.Join(profiles.Names(), ", ")))
	}
	if f.namespace != "" {
		s.Set = append(slices.Clone(s.Set), "values.global.istioNamespace="+f.namespace)
	}
	for _, name := range f.files {
		text, err := readText(cmd.InOrStdin(), name)
		if err != nil {
			return s, err
		}
		s.Files = append(s.Files, operator.File{Name: name, Text: text})
	}
	return s, nil
}

func newInstall() *cobra.Command {
	var o applyOptions
	cmd, f := inCluster("install", "Install the mesh in a cluster", cobra.NoArgs,
		func(cmd *cobra.Command, f *clusterFlags, c *install.Cluster, _ []string) error {
			s, err := o.settings.read(cmd)
			if err != nil {
				return err
			}
			s.Revision = f.revision
			return o.apply(cmd, f, c, s)
		})
	cmd.Long = "Install the mesh in a cluster: the kinds of Istio, the control plane and an ingress gateway, or what a profile\nand files of kind IstioOperator say. It can be repeated; what others have changed in fields that it does not\nset stays, and what the settings have no more is taken away. A setting that has no effect is an error that\nnames it; with --force it is a warning, and objects that another tool made are taken over."
	cmd.Example = "  pilotctl install --profile demo\n  pilotctl install -f mesh.yaml --set meshConfig.accessLogFile=/dev/stdout --dry-run\n  pilotctl install --revision canary --profile minimal"
	f.registerRevision(cmd.Flags())
	o.register(cmd.Flags())
	return cmd
}

func injectionLabel(revision string) string {
	if revision == inject.DefaultRevision {
		return "istio-injection=enabled"
	}
	return operator.LabelRevision + "=" + revision
}

func newUninstall() *cobra.Command {
	var purge, yes bool
	cmd, f := inCluster("uninstall", "Take the mesh out of a cluster", cobra.NoArgs,
		func(cmd *cobra.Command, f *clusterFlags, c *install.Cluster, _ []string) error {
			if !yes {
				if err := confirm(cmd, "Revision "+f.of()+" is about to be taken out of the cluster."); err != nil {
					return err
				}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
			defer cancel()
			if err := c.Uninstall(ctx, f.of(), purge); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "revision "+f.of()+" is taken out")
			return err
		})
	cmd.Long = "Take a revision of the mesh with its gateways and tags out of a cluster. Istio's kinds stay, with their\nobjects, but with --purge: then those go that an installation has brought, and what all revisions share,\nunless another revision is there. What was there before stays."
	f.registerRevision(cmd.Flags())
	cmd.Flags().BoolVarP(&yes, "skip-confirmation", "y", false, "do not ask, at a terminal, whether to go on")
	cmd.Flags().BoolVar(&purge, "purge", false, "also remove the CA's key, the roots, the namespace and Istio's kinds with their objects, unless somebody else needs them")
	return cmd
}

func newManifest() *cobra.Command {
	manifest := &cobra.Command{Use: "manifest", Short: "Show what an installation consists of"}
	usage.Group(manifest)
	var f settingsFlags
	var definitions, force bool
	generate := &cobra.Command{
		Use: "generate", Short: "Print the objects of an installation as YAML", Args: usage.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := f.read(cmd)
			if err != nil {
				return err
			}
			p, err := planned(cmd, s, force)
			if err != nil {
				return err
			}
			objects, err := p.All(definitions)
			if err != nil {
				return err
			}
			return printObjects(cmd.OutOrStdout(), objects)
		},
	}
	f.register(generate.Flags())
	generate.Flags().StringVarP(&f.Revision, "revision", "r", "", "revision of the control plane (default \"default\")")
	generate.Flags().BoolVar(&definitions, "crds", true, "with the definitions of Istio's kinds")
	generate.Flags().BoolVar(&force, "force", false, "warn of settings that have no effect, and leave them out")
	manifest.AddCommand(generate)
	return manifest
}

func printObjects(w io.Writer, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "---\n%s", text); err != nil {
			return err
		}
	}
	return nil
}
