package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"istio.io/api/annotation"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/ctl/terminal"
	"github.com/pilothouse-mesh/pilothouse/localnode"
	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// reached is a mesh, on this machine or in a cluster, that can be asked.
type reached interface {
	// control asks the control plane for a page.
	control(ctx context.Context, path string) ([]byte, error)
	// lists asks every replica of the control plane for a list. Items of which several replicas know come
	// several times. silent are the reasons why replicas did not answer; err is set where none did.
	lists(ctx context.Context, path string) (all []json.RawMessage, silent []error, err error)
	// admin asks the admin interface of the Envoy of a pod, POD.NAMESPACE.
	admin(ctx context.Context, pod, method, path string) ([]byte, error)
	// resolve gives POD.NAMESPACE of what a user calls a pod.
	resolve(ctx context.Context, pod string) (string, error)
	// find gives the pod itself.
	find(ctx context.Context, pod string) (*corev1.Pod, error)
	// manifests gives the texts of objects that are at fault, as far as they can be had.
	manifests(ctx context.Context, of []analyze.Finding) []analyze.File
	// logs writes the log of a container of a pod; "" is the pod's usual one.
	logs(ctx context.Context, pod, container string, opts localnode.LogOptions, w io.Writer) error
	// page gives a way to the port of the control plane's pages, and its address there, until stop is called.
	page(ctx context.Context) (way http.RoundTripper, address string, stop func(), err error)
	// versions gives the control planes' versions, with the number of replicas of each. silent and err are those of
	// lists.
	versions(ctx context.Context) (of map[string]int, silent []error, err error)
	// tap gives what the agent of a pod tells of its requests (package agent/tap), until it is closed.
	tap(ctx context.Context, pod string) (io.ReadCloser, error)
	close()
}

// place tells which mesh is meant.
type place struct {
	*options
	cluster clusterFlags
	// istioNamespace is that of the control plane in a cluster.
	istioNamespace string
}

func (p *place) register(cmd *cobra.Command) { p.registerAs(cmd, "c") }

// registerAs does so with a letter for the kubeconfig, "" for none.
func (p *place) registerAs(cmd *cobra.Command, letter string) {
	cmd.PersistentFlags().StringVarP(&p.cluster.kubeconfig, "kubeconfig", letter, "", "ask a mesh in this cluster (by default that of $KUBECONFIG or ~/.kube/config, where none runs on this machine)")
	cmd.PersistentFlags().StringVarP(&p.istioNamespace, "istioNamespace", "i", model.RootNamespace, "namespace of the control plane, in a cluster")
	cmd.PersistentFlags().StringVar(&p.cluster.context, "context", "", "ask a mesh in the cluster of this context of the kubeconfig")
}

// named tells whether a cluster was.
func (p *place) named() bool { return p.cluster.kubeconfig != "" || p.cluster.context != "" }

// reach opens the mesh: in a cluster if one is named, else on this machine, else in the cluster that kubectl
// would ask.
func (p *place) reach() (reached, error) {
	if !p.named() {
		m, err := p.open()
		if err == nil {
			return m, nil
		}
		if !errors.Is(err, localnode.ErrNoMesh) {
			return nil, err
		}
		config, noCluster := p.cluster.rest()
		if noCluster != nil {
			return nil, err
		}
		return openCluster(config, p.istioNamespace)
	}
	config, err := p.cluster.rest()
	if err != nil {
		return nil, err
	}
	return openCluster(config, p.istioNamespace)
}

// completionTimeout bounds how long a shell waits for the names of pods.
const completionTimeout = 2 * time.Second

// completePods completes the first argument with the pods of the mesh.
func (p *place) completePods(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	m, err := p.reach()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer m.close()
	inCluster, ok := m.(*clusterMesh)
	if !ok {
		return p.options.completePods(cmd, args, prefix)
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()
	pods, err := inCluster.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, pod := range pods.Items {
		if _, injected := pod.Annotations[annotation.SidecarStatus.Name]; injected {
			names = append(names, terminal.Text(pod.Name+"."+pod.Namespace))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
