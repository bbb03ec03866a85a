package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pilothouse-mesh/pilothouse/bench"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
)

func (b *benchOptions) clusterFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&b.custom.Kubeconfig, "kubeconfig", "", "write the mesh to this API server, for the control plane to read it there, and take it away "+
		"at the end; a cluster for this alone, with Istio's kinds, whose controllers make no EndpointSlices (make benchcluster has one)")
	_ = cmd.MarkFlagFilename("kubeconfig")
}

// checkCluster tells what an API server cannot be the source of.
func (b *benchOptions) checkCluster(list []bench.Options) error {
	for _, o := range list {
		switch with := b.custom.Kubeconfig != ""; {
		case !with && o.Name == bench.ClusterSeries:
			return usageError(fmt.Errorf("--series %s needs an API server: give --kubeconfig", o.Name))
		case with && b.before != "":
			return usageError(errors.New("two programs are compared with files only, since the first one's mesh is not gone at once: leave out --before"))
		case with && o.Mesh.Gateways.Count > 0:
			return usageError(errors.New("gateways are measured with files only: leave out --kubeconfig"))
		case with && len(b.series) > 0 && o.Name != bench.ClusterSeries:
			return usageError(fmt.Errorf("--series %s is measured with files only: leave out --kubeconfig", o.Name))
		}
	}
	return nil
}

// newInformers is the process of bare informers, which bench starts.
func newInformers() *cobra.Command {
	return &cobra.Command{
		Use: "informers KUBECONFIG ADDRESS", Short: "Follow an API server with client-go's informers and nothing else", Hidden: true,
		Args: usage.Args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, a []string) error { return bench.ServeInformers(cmd.Context(), a[0], a[1]) },
	}
}
