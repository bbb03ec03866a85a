package incluster

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

const (
	// rootMap is the ConfigMap from which agents have the root.
	rootMap = "istio-ca-root-cert"
	rootKey = "root-cert.pem"
	// crlMap is the ConfigMap from which agents have what a plugged-in CA has revoked.
	crlMap = "istio-ca-crl"
	crlKey = "ca-crl.pem"
	// serviceName is the Service by which the API server reaches the webhooks.
	serviceName = "istiod"
	// again is the pause after a write that failed.
	again = 2 * time.Second
)

// writer keeps what the leader has to keep as it should be.
type writer struct {
	Options
	roots, lists, all informers.SharedInformerFactory
	wake              chan struct{}
}

// write keeps the root in all namespaces, and in the webhooks, until ctx ends.
func write(ctx context.Context, opts Options) error {
	named := func(name string) informers.SharedInformerFactory {
		return informers.NewSharedInformerFactoryWithOptions(opts.Client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", name).String()
		}))
	}
	w := &writer{
		Options: opts, wake: make(chan struct{}, 1),
		roots: named(rootMap), lists: named(crlMap), all: informers.NewSharedInformerFactory(opts.Client, 0),
	}
	changed := func(any) {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: changed, DeleteFunc: changed, UpdateFunc: func(_, now any) { changed(now) }}
	for _, informer := range []cache.SharedIndexInformer{
		w.roots.Core().V1().ConfigMaps().Informer(), w.lists.Core().V1().ConfigMaps().Informer(), w.all.Core().V1().Namespaces().Informer(),
		w.all.Admissionregistration().V1().MutatingWebhookConfigurations().Informer(),
		w.all.Admissionregistration().V1().ValidatingWebhookConfigurations().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factories := []informers.SharedInformerFactory{w.roots, w.lists, w.all}
	for _, f := range factories {
		f.Start(ctx.Done())
		defer f.Shutdown()
	}
	for _, f := range factories {
		f.WaitForCacheSync(ctx.Done())
	}
	return w.run(ctx)
}

func (w *writer) run(ctx context.Context) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	others := w.Roots.Changed()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-others:
			others = w.Roots.Changed()
		case <-w.wake:
		case <-pause.C:
		}
		if err := w.reconcile(ctx); err != nil && ctx.Err() == nil {
			w.Logger.Warn("cannot write", "error", err)
			pause.Reset(again)
		}
	}
}

func (w *writer) reconcile(ctx context.Context) error {
	namespaces, err := w.all.Core().V1().Namespaces().Lister().List(labels.Everything())
	if err != nil {
		return err
	}
	for _, ns := range namespaces {
		if ns.DeletionTimestamp != nil || slices.Contains(model.ClusterNamespaces(), ns.Name) {
			continue
		}
		if err := w.keep(ctx, w.roots, ns.Name, rootMap, rootKey, w.Roots.RootPEM()); err != nil {
			return err
		}
		if err := w.keep(ctx, w.lists, ns.Name, crlMap, crlKey, w.Roots.CRL()); err != nil {
			return err
		}
	}
	return w.webhooks(ctx)
}

// keep keeps a ConfigMap of a namespace. One that would be empty is not made; one that is there becomes empty,
// which agents take for its end.
func (w *writer) keep(ctx context.Context, from informers.SharedInformerFactory, namespace, name, key string, value []byte) error {
	data := map[string]string{key: string(value)}
	have, err := from.Core().V1().ConfigMaps().Lister().ConfigMaps(namespace).Get(name)
	maps := w.Client.CoreV1().ConfigMaps(namespace)
	switch {
	case apierrors.IsNotFound(err) && len(value) == 0:
		return nil
	case apierrors.IsNotFound(err):
		_, err = maps.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{"istio.io/config": "true", labelManagedBy: ManagedBy}},
			Data:       data,
		}, metav1.CreateOptions{})
		// The namespace may be going; or the cache does not know of the map yet.
		if apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil
		}
	case err == nil && have.Data[key] != data[key]:
		have = have.DeepCopy()
		have.Data = data
		_, err = maps.Update(ctx, have, metav1.UpdateOptions{})
	}
	return err
}

// webhooks keeps the root in the webhooks that lead to this control plane.
func (w *writer) webhooks(ctx context.Context) error {
	registered := w.all.Admissionregistration().V1()
	mutating, err := registered.MutatingWebhookConfigurations().Lister().List(labels.Everything())
	if err != nil {
		return err
	}
	for _, c := range mutating {
		var clients []*admissionv1.WebhookClientConfig
		for i := range c.Webhooks {
			clients = append(clients, &c.Webhooks[i].ClientConfig)
		}
		if patch := w.bundles(clients); patch != nil {
			_, err := w.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(ctx, c.Name, types.JSONPatchType, patch, metav1.PatchOptions{})
			if err != nil {
				return err
			}
		}
	}
	validating, err := registered.ValidatingWebhookConfigurations().Lister().List(labels.Everything())
	if err != nil {
		return err
	}
	for _, c := range validating {
		var clients []*admissionv1.WebhookClientConfig
		for i := range c.Webhooks {
			clients = append(clients, &c.Webhooks[i].ClientConfig)
		}
		if patch := w.bundles(clients); patch != nil {
			_, err := w.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Patch(ctx, c.Name, types.JSONPatchType, patch, metav1.PatchOptions{})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// bundles gives the patch that sets the root where it is another one, nil for none.
func (w *writer) bundles(clients []*admissionv1.WebhookClientConfig) []byte {
	type step struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value []byte `json:"value"`
	}
	var steps []step
	roots := w.Roots.RootPEM()
	for i, c := range clients {
		if c.Service != nil && c.Service.Name == w.service() && c.Service.Namespace == w.Namespace && !bytes.Equal(c.CABundle, roots) {
			steps = append(steps, step{"add", "/webhooks/" + strconv.Itoa(i) + "/clientConfig/caBundle", roots})
		}
	}
	if steps == nil {
		return nil
	}
	patch, _ := json.Marshal(steps) // it cannot fail
	return patch
}

func (w *writer) service() string {
	if w.Revision == "" || w.Revision == "default" {
		return serviceName
	}
	return serviceName + "-" + w.Revision
}
