package file

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// kubernetesObject is what the typed Kubernetes kinds have in common.
type kubernetesObject interface{ metav1.Object }

// kubernetesKind tells how to read one kind of Kubernetes.
type kubernetesKind struct {
	kind          model.Kind
	quotedVersion string // apiVersion, as JSON
	make          func() kubernetesObject
}

// key names an object of the kind.
func (k *kubernetesKind) key(namespace, name string) model.Key {
	if k.kind == model.KindNamespace {
		namespace = ""
	} else if namespace == "" {
		namespace = defaultNamespace
	}
	return model.Key{Kind: k.kind, Namespace: namespace, Name: name}
}

// kubernetesKindOf gives the kind of Kubernetes that the mesh reads under a name, in JSON.
func kubernetesKindOf(quoted []byte) (kubernetesKind, bool) {
	switch string(quoted) {
	case `"Namespace"`:
		return kubernetesKind{model.KindNamespace, `"v1"`, func() kubernetesObject { return &corev1.Namespace{} }}, true
	case `"ServiceAccount"`:
		return kubernetesKind{model.KindServiceAccount, `"v1"`, func() kubernetesObject { return &corev1.ServiceAccount{} }}, true
	case `"Service"`:
		return kubernetesKind{model.KindService, `"v1"`, func() kubernetesObject { return &corev1.Service{} }}, true
	case `"Pod"`:
		return kubernetesKind{model.KindPod, `"v1"`, func() kubernetesObject { return &corev1.Pod{} }}, true
	case `"ConfigMap"`:
		return kubernetesKind{model.KindConfigMap, `"v1"`, func() kubernetesObject { return &corev1.ConfigMap{} }}, true
	case `"EndpointSlice"`:
		return kubernetesKind{model.KindEndpointSlice, `"discovery.k8s.io/v1"`, func() kubernetesObject { return &discoveryv1.EndpointSlice{} }}, true
	case `"Deployment"`:
		return kubernetesKind{model.KindDeployment, `"apps/v1"`, func() kubernetesObject { return &appsv1.Deployment{} }}, true
	}
	return kubernetesKind{}, false
}

const (
	networkingGroup = "networking.istio.io"
	securityGroup   = "security.istio.io"
	gatewayAPIGroup = "gateway.networking.k8s.io"
)

// istioKind tells how to read one kind of Istio.
type istioKind struct {
	group    string
	versions []string
	make     func() proto.Message
}

// istioKinds gives the kinds of Istio that this version translates.
func istioKinds() map[model.Kind]istioKind {
	traffic := []string{"v1", "v1beta1", "v1alpha3"}
	return map[model.Kind]istioKind{
		model.KindVirtualService:     {networkingGroup, traffic, func() proto.Message { return &networking.VirtualService{} }},
		model.KindDestinationRule:    {networkingGroup, traffic, func() proto.Message { return &networking.DestinationRule{} }},
		model.KindGateway:            {networkingGroup, traffic, func() proto.Message { return &networking.Gateway{} }},
		model.KindSidecar:            {networkingGroup, traffic, func() proto.Message { return &networking.Sidecar{} }},
		model.KindServiceEntry:       {networkingGroup, traffic, func() proto.Message { return &networking.ServiceEntry{} }},
		model.KindWorkloadEntry:      {networkingGroup, traffic, func() proto.Message { return &networking.WorkloadEntry{} }},
		model.KindWorkloadGroup:      {networkingGroup, traffic, func() proto.Message { return &networking.WorkloadGroup{} }},
		model.KindPeerAuthentication: {securityGroup, []string{"v1", "v1beta1"}, func() proto.Message { return &security.PeerAuthentication{} }},
	}
}

// meshGroup tells whether an API group configures a mesh, so that a kind of it that is not
// translated leaves something out that somebody counts on.
func meshGroup(group string) bool {
	return strings.HasSuffix(group, "istio.io") || group == gatewayAPIGroup
}
