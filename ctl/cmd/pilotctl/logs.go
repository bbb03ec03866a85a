package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/localnode"
)

func newLogs(o *options) *cobra.Command {
	var (
		container, namespace string
		lo                   localnode.LogOptions
	)
	at := place{options: o}
	cmd := &cobra.Command{
		Use: "logs POD[.NAMESPACE] [-c CONTAINER]", Short: "Print a container's log", Args: usage.Args(cobra.ExactArgs(1)),
		ValidArgsFunction: at.completePods,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := at.reach()
			if err != nil {
				return err
			}
			defer m.close()
			pod, err := m.resolve(cmd.Context(), qualified(args[0], namespace))
			if err != nil {
				return err
			}
			err = m.logs(cmd.Context(), pod, container, lo, cmd.OutOrStdout())
			if errors.Is(err, context.Canceled) { // the user has seen enough
				return nil
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&container, "container", "c", "", "container; the pod's default one if empty")
	completion(cmd, "container", o.completeContainers)
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "default", "namespace of the pod")
	cmd.Flags().BoolVarP(&lo.Follow, "follow", "f", false, "go on until the container ends")
	cmd.Flags().IntVar(&lo.Tail, "tail", 0, "the last lines only; 0 for all")
	cmd.Flags().BoolVarP(&lo.Previous, "previous", "p", false, "of the run before the last restart")
	cmd.Flags().BoolVar(&lo.Timestamps, "timestamps", false, "with the time of each line")
	at.registerAs(cmd, "") // -c is the container
	return cmd
}

// logs implements reached by asking the API server.
func (m *clusterMesh) logs(ctx context.Context, pod, container string, lo localnode.LogOptions, w io.Writer) error {
	p, err := m.pod(ctx, pod)
	if err != nil {
		return err
	}
	container = cmp.Or(container, p.Annotations["kubectl.kubernetes.io/default-container"])
	if container == "" && len(p.Spec.Containers) > 0 {
		container = p.Spec.Containers[0].Name
	}
	opts := &corev1.PodLogOptions{Container: container, Follow: lo.Follow, Previous: lo.Previous, Timestamps: lo.Timestamps}
	if lo.Tail > 0 {
		lines := int64(lo.Tail)
		opts.TailLines = &lines
	}
	from, err := m.client.CoreV1().Pods(p.Namespace).GetLogs(p.Name, opts).Stream(ctx)
	if err != nil {
		return fmt.Errorf("the log of container %s of pod %s/%s: %w", container, p.Namespace, p.Name, err)
	}
	defer from.Close()
	_, err = io.Copy(w, from)
	return err
}
