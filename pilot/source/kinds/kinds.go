// Package kinds is the table of the objects that the sources read: how each is called in an API
// server and in YAML, and the Go type that it is decoded into. A kind that is added here is read by all
// sources.
package kinds

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	networkingbeta "istio.io/api/networking/v1beta1"
	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// DefaultNamespace is where an object lives that names no namespace.
const DefaultNamespace = "default"

// ClusterScoped tells whether objects of a kind live in no namespace.
func ClusterScoped(kind model.Kind) bool {
	return kind == model.KindNamespace || kind == model.KindIngressClass
}

// Kubernetes tells how to read one kind of Kubernetes.
type Kubernetes struct {
	Kind          model.Kind
	QuotedVersion string               // apiVersion, as JSON
	Make          func() metav1.Object // an empty object of the kind
}

// Key names an object of the kind.
func (k *Kubernetes) Key(namespace, name string) model.Key {
	if ClusterScoped(k.Kind) {
		namespace = ""
	} else if namespace == "" {
		namespace = DefaultNamespace
	}
	return model.Key{Kind: k.Kind, Namespace: namespace, Name: name}
}

// KubernetesOf gives the kind of Kubernetes that the mesh reads under a name, in JSON.
func KubernetesOf(quoted []byte) (Kubernetes, bool) {
	switch string(quoted) {
	case `"Namespace"`:
		return Kubernetes{model.KindNamespace, `"v1"`, func() metav1.Object { return &corev1.Namespace{} }}, true
	case `"ServiceAccount"`:
		return Kubernetes{model.KindServiceAccount, `"v1"`, func() metav1.Object { return &corev1.ServiceAccount{} }}, true
	case `"Service"`:
		return Kubernetes{model.KindService, `"v1"`, func() metav1.Object { return &corev1.Service{} }}, true
	case `"Pod"`:
		return Kubernetes{model.KindPod, `"v1"`, func() metav1.Object { return &corev1.Pod{} }}, true
	case `"ConfigMap"`:
		return Kubernetes{model.KindConfigMap, `"v1"`, func() metav1.Object { return &corev1.ConfigMap{} }}, true
	case `"Secret"`:
		return Kubernetes{model.KindSecret, `"v1"`, func() metav1.Object { return &corev1.Secret{} }}, true
	case `"Ingress"`:
		return Kubernetes{model.KindIngress, `"networking.k8s.io/v1"`, func() metav1.Object { return &networkingv1.Ingress{} }}, true
	case `"IngressClass"`:
		return Kubernetes{model.KindIngressClass, `"networking.k8s.io/v1"`, func() metav1.Object { return &networkingv1.IngressClass{} }}, true
	case `"EndpointSlice"`:
		return Kubernetes{model.KindEndpointSlice, `"discovery.k8s.io/v1"`, func() metav1.Object { return &discoveryv1.EndpointSlice{} }}, true
	case `"Deployment"`:
		return Kubernetes{model.KindDeployment, `"apps/v1"`, func() metav1.Object { return &appsv1.Deployment{} }}, true
	}
	return Kubernetes{}, false
}

const (
	networkingGroup = "networking.istio.io"
	securityGroup   = "security.istio.io"
	telemetryGroup  = "telemetry.istio.io"
	gatewayAPIGroup = "gateway.networking.k8s.io"
)

// Istio tells how to read one kind of Istio.
type Istio struct {
	Group    string
	Versions []string             // the newest first
	Make     func() proto.Message // an empty spec
}

// OfIstio gives the kinds of Istio that this version translates.
func OfIstio() map[model.Kind]Istio {
	traffic := []string{"v1", "v1beta1", "v1alpha3"}
	return map[model.Kind]Istio{
		model.KindVirtualService:        {networkingGroup, traffic, func() proto.Message { return &networking.VirtualService{} }},
		model.KindDestinationRule:       {networkingGroup, traffic, func() proto.Message { return &networking.DestinationRule{} }},
		model.KindGateway:               {networkingGroup, traffic, func() proto.Message { return &networking.Gateway{} }},
		model.KindProxyConfig:           {networkingGroup, []string{"v1beta1"}, func() proto.Message { return &networkingbeta.ProxyConfig{} }},
		model.KindEnvoyFilter:           {networkingGroup, []string{"v1alpha3"}, func() proto.Message { return &networking.EnvoyFilter{} }},
		model.KindSidecar:               {networkingGroup, traffic, func() proto.Message { return &networking.Sidecar{} }},
		model.KindServiceEntry:          {networkingGroup, traffic, func() proto.Message { return &networking.ServiceEntry{} }},
		model.KindWorkloadEntry:         {networkingGroup, traffic, func() proto.Message { return &networking.WorkloadEntry{} }},
		model.KindWorkloadGroup:         {networkingGroup, traffic, func() proto.Message { return &networking.WorkloadGroup{} }},
		model.KindPeerAuthentication:    {securityGroup, []string{"v1", "v1beta1"}, func() proto.Message { return &security.PeerAuthentication{} }},
		model.KindTelemetry:             {telemetryGroup, []string{"v1", "v1alpha1"}, func() proto.Message { return &telemetry.Telemetry{} }},
		model.KindRequestAuthentication: {securityGroup, []string{"v1", "v1beta1"}, func() proto.Message { return &security.RequestAuthentication{} }},
		model.KindAuthorizationPolicy:   {securityGroup, []string{"v1", "v1beta1"}, func() proto.Message { return &security.AuthorizationPolicy{} }},
	}
}

// Resource is how a kind is called in the paths of an API server.
func Resource(kind model.Kind) string {
	name := strings.ToLower(string(kind))
	switch stem, y := strings.CutSuffix(name, "y"); {
	case y && !strings.HasSuffix(stem, "a"): // not of Gateway
		return stem + "ies"
	case strings.HasSuffix(name, "s"):
		return name + "es"
	}
	return name + "s"
}

// MeshGroup tells whether an API group configures a mesh, so that a kind of it that is not
// translated leaves something out that somebody counts on.
func MeshGroup(group string) bool {
	return strings.HasSuffix(group, "istio.io") || group == gatewayAPIGroup
}
