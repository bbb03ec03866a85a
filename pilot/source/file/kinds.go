package file

import (
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
	apiVersion    string
	clusterScoped bool
	make          func() kubernetesObject
}

// kubernetesKinds gives the kinds of Kubernetes that the mesh reads.
func kubernetesKinds() map[model.Kind]kubernetesKind {
	return map[model.Kind]kubernetesKind{
		model.KindNamespace:      {"v1", true, func() kubernetesObject { return &corev1.Namespace{} }},
		model.KindServiceAccount: {"v1", false, func() kubernetesObject { return &corev1.ServiceAccount{} }},
		model.KindService:        {"v1", false, func() kubernetesObject { return &corev1.Service{} }},
		model.KindPod:            {"v1", false, func() kubernetesObject { return &corev1.Pod{} }},
		model.KindConfigMap:      {"v1", false, func() kubernetesObject { return &corev1.ConfigMap{} }},
		model.KindEndpointSlice:  {"discovery.k8s.io/v1", false, func() kubernetesObject { return &discoveryv1.EndpointSlice{} }},
		model.KindDeployment:     {"apps/v1", false, func() kubernetesObject { return &appsv1.Deployment{} }},
	}
}

const (
	networkingGroup = "networking.istio.io"
	securityGroup   = "security.istio.io"
	telemetryGroup  = "telemetry.istio.io"
	extensionsGroup = "extensions.istio.io"
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
		model.KindPeerAuthentication: {securityGroup, []string{"v1", "v1beta1"}, func() proto.Message { return &security.PeerAuthentication{} }},
	}
}

// meshGroup tells whether an API group configures a mesh, so that a kind of it that is not
// translated has to be reported.
func meshGroup(group string) bool {
	switch group {
	case networkingGroup, securityGroup, telemetryGroup, extensionsGroup, gatewayAPIGroup:
		return true
	}
	return false
}
