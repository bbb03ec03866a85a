package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/ctl/install"
	"github.com/pilothouse-mesh/pilothouse/deploy/manifests"
)

// clusterFlags lead to a cluster and to an installation in it.
type clusterFlags struct {
	manifests.Options
	kubeconfig, context string
	gateway             bool
	timeout             time.Duration
}

func (f *clusterFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Revision, "revision", "", "revision of the control plane (default \"default\")")
	cmd.Flags().StringVar(&f.Hub, "hub", "", "registry and path of the images (default \"pilothouse\")")
	cmd.Flags().StringVar(&f.Tag, "tag", "", "tag of the images (default \"dev\")")
	cmd.Flags().BoolVar(&f.gateway, "gateway", true, "with an ingress gateway")
}

func (f *clusterFlags) registerCluster(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.kubeconfig, "kubeconfig", "c", "", "how to reach the cluster (default $KUBECONFIG, else ~/.kube/config)")
	cmd.Flags().StringVar(&f.context, "context", "", "context of the kubeconfig")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long to wait until all is ready")
}

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

func newInstall() *cobra.Command {
	cmd, f := inCluster("install", "Install the mesh in a cluster", cobra.NoArgs,
		func(cmd *cobra.Command, f *clusterFlags, c *install.Cluster, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
			defer cancel()
			if err := c.Install(ctx, f.Options, f.gateway); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "the mesh is ready; label a namespace for its pods to join: kubectl label namespace default "+injectionLabel(f.Revision))
			return nil
		})
	cmd.Long = "Install the mesh in a cluster: the kinds of Istio, the control plane and an ingress gateway. It can be\nrepeated; what others have changed in fields that it does not set stays."
	f.register(cmd)
	return cmd
}

func injectionLabel(revision string) string {
	if cmp.Or(revision, "default") == "default" {
		return "istio-injection=enabled"
	}
	return manifests.LabelRevision + "=" + revision
}

func newUninstall() *cobra.Command {
	var purge bool
	cmd, f := inCluster("uninstall", "Take the mesh out of a cluster", cobra.NoArgs,
		func(cmd *cobra.Command, f *clusterFlags, c *install.Cluster, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
			defer cancel()
			return c.Uninstall(ctx, f.Options, purge)
		})
	cmd.Long = "Take a revision of the mesh and its tags out of a cluster. Istio's kinds stay, with their objects, but with\n--purge: then those go that an installation has brought, and what all revisions share, unless another revision\nis there. Kinds that were there before stay."
	cmd.Flags().StringVar(&f.Revision, "revision", "", "revision of the control plane (default \"default\")")
	cmd.Flags().BoolVar(&purge, "purge", false, "also remove the CA's key, the roots, the namespace and Istio's kinds with their objects, unless somebody else needs them")
	return cmd
}

func newManifest() *cobra.Command {
	manifest := &cobra.Command{Use: "manifest", Short: "Show what an installation consists of"}
	group(manifest)
	var f clusterFlags
	var definitions bool
	generate := &cobra.Command{
		Use: "generate", Short: "Print the objects of an installation as YAML", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			objects, err := manifests.ControlPlane(f.Options)
			if err == nil && f.gateway {
				edge, edgeErr := manifests.Gateway(f.Options)
				objects, err = append(objects, edge...), edgeErr
			}
			if err == nil && definitions {
				kinds, kindsErr := manifests.Definitions()
				objects, err = slices.Concat(kinds, objects), kindsErr
			}
			if err != nil {
				return err
			}
			return printObjects(cmd.OutOrStdout(), objects)
		},
	}
	f.register(generate)
	generate.Flags().BoolVar(&definitions, "crds", true, "with the definitions of Istio's kinds")
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
