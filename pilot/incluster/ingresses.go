package incluster

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/pilothouse-mesh/pilothouse/pilot/ingress"
	"github.com/pilothouse-mesh/pilothouse/pilot/kubeclient"
)

// Mesh is the mesh's present configuration.
type Mesh interface {
	Mesh() *meshconfig.MeshConfig
	// Changed gives a channel that is closed when it is another one. It is taken before it is read.
	Changed() <-chan struct{}
}

// ingresses keeps the status of Ingresses: where clients reach the gateways that serve them.
type ingresses struct {
	Options
	all     kubeclient.Cache[*networkingv1.Ingress]
	classes kubeclient.Cache[*networkingv1.IngressClass]
	// service is the gateways' Service, pods are they themselves where the mesh names no Service.
	service kubeclient.Cache[*corev1.Service]
	pods    kubeclient.Cache[*corev1.Pod]
	nodes   kubeclient.Cache[*corev1.Node]

	place place
	last  string // written, as namespace/name; the next round goes on after it
	wake  chan struct{}
}

// place is where the gateways are looked for.
type place struct{ namespace, service, selector string }

func placeOf(mesh *meshconfig.MeshConfig) place {
	return place{ingress.Namespace(mesh), mesh.GetIngressService(), labels.Set(ingress.Selector(mesh)).String()}
}

// keepIngresses writes until ctx ends.
func keepIngresses(ctx context.Context, opts Options) {
	for ctx.Err() == nil {
		w := &ingresses{Options: opts, place: placeOf(opts.Mesh.Mesh()), wake: make(chan struct{}, 1)}
		if err := w.follow(ctx); err != nil && ctx.Err() == nil {
			opts.Logger.Error("the status of Ingresses cannot be written", "error", err)
			return
		}
	}
}

// follow writes until ctx ends or the gateways are to be looked for elsewhere.
func (w *ingresses) follow(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	c, core, net := w.Client, w.Client.CoreV1(), w.Client.NetworkingV1()
	w.all = kubeclient.Follow(c, net.Ingresses(""), &networkingv1.Ingress{}, "")
	w.classes = kubeclient.Follow(c, net.IngressClasses(), &networkingv1.IngressClass{}, "")
	informers := []cache.SharedIndexInformer{w.all, w.classes}
	if w.place.service != "" {
		w.service = kubeclient.Follow(c, core.Services(w.place.namespace), &corev1.Service{}, w.place.service)
		informers = append(informers, w.service)
	} else {
		w.pods = kubeclient.Follow(c, core.Pods(w.place.namespace), &corev1.Pod{}, "")
		w.nodes = kubeclient.Follow(c, core.Nodes(), &corev1.Node{}, "")
		informers = append(informers, w.pods, w.nodes)
	}
	if err := kubeclient.Wake(w.wake, informers...); err != nil {
		stop()
		return err
	}
	wait := kubeclient.Run(ctx, informers...)
	w.run(ctx)
	stop()
	wait()
	return nil
}

func (w *ingresses) run(ctx context.Context) {
	tick := time.NewTicker(round)
	defer tick.Stop()
	for ctx.Err() == nil {
		mesh := w.Mesh.Changed()
		if placeOf(w.Mesh.Mesh()) != w.place {
			return
		}
		left := w.write(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if left {
			continue
		}
		select {
		case <-ctx.Done():
		case <-mesh:
		case <-w.wake:
		}
	}
}

// write brings at most perRound Ingresses up to date, and tells whether something is left.
func (w *ingresses) write(ctx context.Context) (left bool) {
	at := w.addresses()
	due := w.due(at)
	left = len(due) > perRound
	for _, o := range due[:min(perRound, len(due))] {
		w.last = nameOf(o)
		wanted := at
		if !w.serves(o) {
			wanted = nil
		}
		if err := w.set(ctx, o, wanted); err != nil && ctx.Err() == nil {
			w.Logger.Warn("cannot write the status of an Ingress", "namespace", o.Namespace, "name", o.Name, "error", err)
			left = true
		}
	}
	return left
}

func nameOf(o *networkingv1.Ingress) string { return o.Namespace + "/" + o.Name }

// addresses gives where clients reach the gateways.
func (w *ingresses) addresses() []networkingv1.IngressLoadBalancerIngress {
	if w.place.service != "" {
		if service, found := w.service.Get(w.place.namespace, w.place.service); found {
			return ingress.OfService(service)
		}
		return nil
	}
	selector := labels.SelectorFromSet(ingress.Selector(w.Mesh.Mesh()))
	pods := slices.DeleteFunc(w.pods.All(), func(p *corev1.Pod) bool { return !selector.Matches(labels.Set(p.Labels)) })
	return ingress.OfPods(pods, w.nodes.All())
}

// serves tells whether the mesh serves an Ingress.
func (w *ingresses) serves(o *networkingv1.Ingress) bool {
	var class *networkingv1.IngressClass
	if named := o.Spec.IngressClassName; named != nil {
		class, _ = w.classes.Get("", *named)
	}
	return ingress.Serves(w.Mesh.Mesh(), o.Annotations, o.Spec.IngressClassName, class)
}

// due gives the Ingresses that have another status than they should, first those after the last that was written.
// One that the mesh does not serve has the status of another controller, save for addresses of the mesh's gateways,
// which it has from when it was served.
func (w *ingresses) due(at []networkingv1.IngressLoadBalancerIngress) []*networkingv1.Ingress {
	var before, after []*networkingv1.Ingress
	for _, o := range w.all.All() {
		right := ingress.Same(o.Status.LoadBalancer.Ingress, at)
		if w.serves(o) == right || len(at) == 0 && right {
			continue
		}
		if nameOf(o) > w.last {
			after = append(after, o)
		} else {
			before = append(before, o)
		}
	}
	byName := func(a, b *networkingv1.Ingress) int { return strings.Compare(nameOf(a), nameOf(b)) }
	slices.SortFunc(before, byName)
	slices.SortFunc(after, byName)
	return append(after, before...)
}

// set writes the addresses of an Ingress, unless somebody else was faster: of that the cache will tell.
func (w *ingresses) set(ctx context.Context, o *networkingv1.Ingress, at []networkingv1.IngressLoadBalancerIngress) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": o.ResourceVersion},
		"status":   map[string]any{"loadBalancer": map[string]any{"ingress": at}},
	})
	if err != nil {
		return err
	}
	_, err = w.Client.NetworkingV1().Ingresses(o.Namespace).Patch(ctx, o.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: statusManager}, "status")
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
