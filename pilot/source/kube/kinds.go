package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/pilothouse-mesh/pilothouse/pilot/kubeclient"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// kubernetesKinds gives the watches of the kinds that every API server has.
func (s *Source) kubernetesKinds() []*watched {
	core, ingress, meshMap := s.typed.CoreV1(), s.typed.NetworkingV1(), s.meshMap()
	return []*watched{
		s.kubernetes(model.KindNamespace, corev1.Resource("namespaces"), typed[*corev1.NamespaceList]{core.Namespaces(), ""}),
		s.kubernetes(model.KindService, corev1.Resource("services"), typed[*corev1.ServiceList]{core.Services(""), ""}),
		s.kubernetes(model.KindPod, corev1.Resource("pods"), typed[*corev1.PodList]{core.Pods(""), ""}),
		s.kubernetes(model.KindConfigMap, corev1.Resource("configmaps"),
			typed[*corev1.ConfigMapList]{core.ConfigMaps(cmp.Or(s.opts.Namespace, model.RootNamespace)), fields.OneTermEqualSelector("metadata.name", meshMap).String()}),
		s.kubernetes(model.KindSecret, corev1.Resource("secrets"), typed[*corev1.SecretList]{core.Secrets(""), gatewaySecrets}),
		s.kubernetes(model.KindEndpointSlice, discoveryv1.Resource("endpointslices"),
			typed[*discoveryv1.EndpointSliceList]{s.typed.DiscoveryV1().EndpointSlices(""), ""}),
		s.kubernetes(model.KindIngress, networkingv1.Resource("ingresses"), typed[*networkingv1.IngressList]{ingress.Ingresses(""), ""}),
		s.kubernetes(model.KindIngressClass, networkingv1.Resource("ingressclasses"), typed[*networkingv1.IngressClassList]{ingress.IngressClasses(), ""}),
	}
}

// gatewaySecrets selects the Secrets that gateways may have certificates from; a CA's own are not
// among them. In which namespaces there are gateways is known only once they come.
const gatewaySecrets = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,metadata.name!=istio-ca-secret,metadata.name!=cacerts"

// meshMap is the name of the ConfigMap with the mesh configuration.
func (s *Source) meshMap() string {
	if s.opts.Revision == "" || s.opts.Revision == "default" {
		return model.MeshConfigName
	}
	return model.MeshConfigName + "-" + s.opts.Revision
}

func (s *Source) kubernetes(kind model.Kind, resource schema.GroupResource, client kubeclient.Asker) *watched {
	known, _ := kinds.KubernetesOf([]byte(`"` + string(kind) + `"`))
	w := newWatched(s, resource, func(obj metav1.Object) ([]*model.Object, []file.Refusal, []model.Problem) {
		if kind == model.KindConfigMap {
			obj.SetName(model.MeshConfigName) // whatever the revision, and the namespace
			obj.SetNamespace(model.RootNamespace)
		}
		objects, problems := s.reader.Kubernetes(known, trimmed(obj))
		return objects, nil, problems
	})
	w.client = observe(client, w.answered)
	return w
}

// trimmed takes out of an object what controllers note in it, often and for nobody here.
func trimmed(obj metav1.Object) metav1.Object {
	switch o := obj.(type) {
	case *corev1.Namespace:
		o.Spec, o.Status = corev1.NamespaceSpec{}, corev1.NamespaceStatus{}
	case *corev1.Service:
		o.Status.Conditions = nil
	case *discoveryv1.EndpointSlice:
		o.OwnerReferences = nil
	}
	return obj
}

// typed asks for a kind by its own client.
type typed[L runtime.Object] struct {
	client interface {
		List(ctx context.Context, opts metav1.ListOptions) (L, error)
		Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
	}
	fields string // a selector
}

func (t typed[L]) List(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
	opts.FieldSelector = t.fields
	return t.client.List(ctx, opts)
}

func (t typed[L]) Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	opts.FieldSelector = t.fields
	return t.client.Watch(ctx, opts)
}

// istioKind gives the watch of a kind of Istio.
func (s *Source) istioKind(resource schema.GroupResource, k kinds.Istio) *watched {
	w := newWatched(s, resource, func(obj metav1.Object) ([]*model.Object, []file.Refusal, []model.Problem) {
		u := obj.(*unstructured.Unstructured)
		data, err := json.Marshal(u.Object)
		if err != nil { // it came as JSON
			return nil, nil, []model.Problem{{
				Object:   model.Key{Kind: model.Kind(u.GetKind()), Namespace: u.GetNamespace(), Name: u.GetName()},
				Severity: model.SeverityError, Reason: model.ReasonInvalid, Message: err.Error(),
			}}
		}
		return s.reader.JSON(data)
	})
	w.client = observe(&versioned{client: s.dynamic, resource: resource, versions: k.Versions}, w.answered)
	return w
}

// versioned asks for a kind in the newest version that the API server has.
type versioned struct {
	client   dynamic.Interface
	resource schema.GroupResource
	versions []string
	at       atomic.Int32 // the version that it had last
}

// try asks for the versions in turn, beginning with the last that was there.
func (v *versioned) try(ask func(dynamic.ResourceInterface) error) error {
	var err error
	first := v.at.Load()
	for i := range int32(len(v.versions)) {
		at := (first + i) % int32(len(v.versions))
		if err = ask(v.client.Resource(v.resource.WithVersion(v.versions[at]))); !apierrors.IsNotFound(err) {
			v.at.Store(at)
			return err
		}
	}
	return err
}

func (v *versioned) List(ctx context.Context, opts metav1.ListOptions) (out runtime.Object, err error) {
	err = v.try(func(c dynamic.ResourceInterface) (err error) {
		out, err = c.List(ctx, opts)
		return err
	})
	return out, err
}

func (v *versioned) Watch(ctx context.Context, opts metav1.ListOptions) (out watch.Interface, err error) {
	err = v.try(func(c dynamic.ResourceInterface) (err error) {
		out, err = c.Watch(ctx, opts)
		return err
	})
	return out, err
}
