// Package apiserver puts a synthetic mesh into an API server, as kubelets and Kubernetes' controllers would
// have: Pods with a status on Nodes, and EndpointSlices that list them. It makes each change by one write where
// that is possible, and takes everything away at the end.
package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"golang.org/x/sync/errgroup"
)

// made is the label of all that has no namespace of a mesh.
const made = "pilothouse.io/benchmark"

// writers is how many objects are written at the same time while a mesh is set up.
const writers = 24

// Mesh is one in an API server. Its methods are for one goroutine.
type Mesh struct {
	client dynamic.Interface
	slices map[types.NamespacedName]*slice // by service
	pods   map[types.NamespacedName]place
	nodes  map[string]bool
	made   []string // namespaces
	wrote  []time.Duration
}

// Open reaches the API server that a kubeconfig leads to.
func Open(kubeconfig string) (*Mesh, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	config.QPS = -1 // the benchmark sets the pace
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	return &Mesh{
		client: client, slices: map[types.NamespacedName]*slice{}, pods: map[types.NamespacedName]place{}, nodes: map[string]bool{},
	}, nil
}

// Write puts documents of YAML there, in an order in which each finds what it needs.
func (m *Mesh) Write(ctx context.Context, documents ...[]byte) error {
	stages := make([][]*unstructured.Unstructured, len(order)+1)
	add := func(o *unstructured.Unstructured) { stages[stage(o)] = append(stages[stage(o)], o) }
	for _, text := range documents {
		objects, err := parse(text)
		if err != nil {
			return err
		}
		for _, o := range objects {
			for _, o := range m.adapt(o) {
				add(o)
			}
		}
	}
	for _, s := range m.slices {
		add(s.object())
	}
	for _, objects := range stages {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(writers)
		for _, o := range objects {
			if o.GetKind() == "Namespace" {
				m.made = append(m.made, o.GetName()) // or as good as made: an error of another one leaves it
			}
			group.Go(func() error { return m.create(ctx, o) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mesh) create(ctx context.Context, o *unstructured.Unstructured) error {
	to := m.resource(o)
	_, err := to.Create(ctx, o, metav1.CreateOptions{FieldManager: made})
	switch {
	case apierrors.IsNotFound(err) && stage(o) == len(order):
		return fmt.Errorf("the API server has no %s; `pilotctl install --set profile=minimal` teaches it: %w", o.GetKind(), err)
	case err != nil:
		return fmt.Errorf("%s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err)
	case o.GetKind() != "Pod":
		return nil
	}
	return m.patch(ctx, o, statusOf(o), "status")
}

// Apply makes a change of one object, and gives the moment at which the write was sent.
func (m *Mesh) Apply(ctx context.Context, text []byte) (time.Time, error) {
	at := time.Now()
	objects, err := parse(text)
	if err != nil {
		return at, err
	}
	for _, o := range objects {
		at = time.Now()
		if o.GetKind() == "Pod" {
			err = m.applyPod(ctx, o)
		} else {
			err = m.apply(ctx, o)
		}
		if err != nil {
			return at, fmt.Errorf("%s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err)
		}
		m.wrote = append(m.wrote, time.Since(at))
	}
	return at, nil
}

// Wrote gives how long the API server took for each of the changes since the last call.
func (m *Mesh) Wrote() []time.Duration {
	out := m.wrote
	m.wrote = nil
	return out
}

// applyPod writes the slice that lists a Pod where its address is another one, else the Pod's status.
func (m *Mesh) applyPod(ctx context.Context, o *unstructured.Unstructured) error {
	name, address := nameOf(o), addressOf(o)
	was := m.pods[name]
	if was.address == address {
		return m.patch(ctx, o, statusOf(o), "status")
	}
	s := m.slices[was.service]
	s.endpoints[was.at].address = address
	m.pods[name] = place{was.service, was.at, address}
	return m.patch(ctx, s.object(), map[string]any{"endpoints": s.list()})
}

func (m *Mesh) apply(ctx context.Context, o *unstructured.Unstructured) error {
	_, err := m.resource(o).Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: made, Force: true})
	return err
}

func (m *Mesh) patch(ctx context.Context, o *unstructured.Unstructured, content map[string]any, subresources ...string) error {
	body, err := json.Marshal(content)
	if err != nil {
		return err
	}
	_, err = m.resource(o).Patch(ctx, o.GetName(), types.MergePatchType, body, metav1.PatchOptions{FieldManager: made}, subresources...)
	return err
}

func (m *Mesh) resource(o *unstructured.Unstructured) dynamic.ResourceInterface {
	plural, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
	if o.GetNamespace() == "" {
		return m.client.Resource(plural)
	}
	return m.client.Resource(plural).Namespace(o.GetNamespace())
}

// Remove deletes the namespaces and Nodes that Write made. It does not wait for what is in them.
func (m *Mesh) Remove(ctx context.Context) error {
	var first error
	drop := func(resource schema.GroupVersionResource, name string) {
		err := m.client.Resource(resource).Delete(ctx, name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) && first == nil {
			first = fmt.Errorf("%s %s: %w", resource.Resource, name, err)
		}
	}
	for _, name := range m.made {
		drop(corev1.SchemeGroupVersion.WithResource("namespaces"), name)
	}
	for name := range m.nodes {
		drop(corev1.SchemeGroupVersion.WithResource("nodes"), name)
	}
	return first
}
