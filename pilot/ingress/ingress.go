// Package ingress tells how the mesh's configuration has Ingresses read: which are for the mesh, which gateways
// serve them, and where clients reach those. The store derives configuration by it, and the leader writes the
// status of Ingresses. It does no I/O.
package ingress

import (
	"cmp"
	"net/netip"
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

const (
	// controller is what an IngressClass of Istio's names.
	controller = "istio.io/ingress-controller"
	// defaultService is the Service whose gateways have another label than its name.
	defaultService = "istio-ingressgateway"
)

// Serves tells whether an Ingress is for the mesh, as Istio decides. It never is if it names a class that does
// not exist. Else its annotation decides, else its class, else the mesh's mode.
func Serves(mesh *meshconfig.MeshConfig, annotations map[string]string, named *string, class *networkingv1.IngressClass) bool {
	if named != nil && class == nil {
		return false
	}
	mode := mesh.GetIngressControllerMode()
	if annotated, ok := annotations[model.AnnotationIngressClass]; ok {
		return mode != meshconfig.MeshConfig_OFF && annotated == mesh.GetIngressClass()
	}
	if class != nil {
		return class.Spec.Controller == controller
	}
	return mode == meshconfig.MeshConfig_DEFAULT
}

// Selector gives the labels of the gateways that serve Ingresses: what the mesh names, else as their Service is
// called.
func Selector(mesh *meshconfig.MeshConfig) map[string]string {
	label := mesh.GetIngressSelector()
	if service := mesh.GetIngressService(); label == "" && service != defaultService {
		label = service
	}
	return map[string]string{"istio": cmp.Or(label, "ingressgateway")}
}

// Namespace gives where those gateways and their Service live.
func Namespace(mesh *meshconfig.MeshConfig) string {
	return cmp.Or(mesh.GetRootNamespace(), model.RootNamespace)
}

// OfService gives the addresses at which clients reach a gateway's Service: those of its load balancers and its
// external ones, or the name that it stands for.
func OfService(service *corev1.Service) []networkingv1.IngressLoadBalancerIngress {
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return addresses([]string{service.Spec.ExternalName})
	}
	var out []string
	for _, at := range service.Status.LoadBalancer.Ingress {
		out = append(out, cmp.Or(at.IP, at.Hostname))
	}
	return addresses(append(out, service.Spec.ExternalIPs...))
}

// OfPods gives the external addresses of the nodes on which gateways run; it is for gateways without a Service.
func OfPods(pods []*corev1.Pod, nodes []*corev1.Node) []networkingv1.IngressLoadBalancerIngress {
	var out []string
	for _, node := range nodes {
		if !slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning && p.Spec.NodeName == node.Name }) {
			continue
		}
		for _, at := range node.Status.Addresses {
			if at.Type == corev1.NodeExternalIP {
				out = append(out, at.Address)
			}
		}
	}
	return addresses(out)
}

// addresses gives addresses and names as a status has them, sorted and each once, the names last.
func addresses(all []string) []networkingv1.IngressLoadBalancerIngress {
	var out []networkingv1.IngressLoadBalancerIngress
	for _, at := range all {
		switch _, err := netip.ParseAddr(at); {
		case at == "":
		case err == nil:
			out = append(out, networkingv1.IngressLoadBalancerIngress{IP: at})
		default:
			out = append(out, networkingv1.IngressLoadBalancerIngress{Hostname: at})
		}
	}
	slices.SortFunc(out, compare)
	return slices.CompactFunc(out, func(a, b networkingv1.IngressLoadBalancerIngress) bool { return compare(a, b) == 0 })
}

func compare(a, b networkingv1.IngressLoadBalancerIngress) int {
	return cmp.Or(cmp.Compare(a.Hostname, b.Hostname), cmp.Compare(a.IP, b.IP))
}

// Same tells whether two statuses have the same addresses, in whatever order.
func Same(a, b []networkingv1.IngressLoadBalancerIngress) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, compare)
	slices.SortFunc(b, compare)
	return slices.EqualFunc(a, b, func(x, y networkingv1.IngressLoadBalancerIngress) bool { return compare(x, y) == 0 })
}
