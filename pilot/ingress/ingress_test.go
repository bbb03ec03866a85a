package ingress

import (
	"reflect"
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// What an Ingress says of its class counts in Istio's order.
func TestServes(t *testing.T) {
	of := func(controller string) *networkingv1.IngressClass {
		return &networkingv1.IngressClass{Spec: networkingv1.IngressClassSpec{Controller: controller}}
	}
	const off, strict, all = meshconfig.MeshConfig_OFF, meshconfig.MeshConfig_STRICT, meshconfig.MeshConfig_DEFAULT
	for _, test := range []struct {
		about      string
		annotation string // "" for none
		named      bool
		class      *networkingv1.IngressClass
		want       map[meshconfig.MeshConfig_IngressControllerMode]bool
	}{
		{"nothing", "", false, nil, map[meshconfig.MeshConfig_IngressControllerMode]bool{off: false, strict: false, all: true}},
		{"the annotation", "istio", false, nil, map[meshconfig.MeshConfig_IngressControllerMode]bool{off: false, strict: true, all: true}},
		{"another's annotation", "nginx", false, nil, map[meshconfig.MeshConfig_IngressControllerMode]bool{off: false, strict: false, all: false}},
		{"a class", "", true, of("istio.io/ingress-controller"), map[meshconfig.MeshConfig_IngressControllerMode]bool{off: true, strict: true, all: true}},
		{"another's class", "", true, of("k8s.io/ingress-nginx"), map[meshconfig.MeshConfig_IngressControllerMode]bool{off: false, strict: false, all: false}},
		{"another's annotation and a class", "nginx", true, of("istio.io/ingress-controller"), map[meshconfig.MeshConfig_IngressControllerMode]bool{off: false, strict: false, all: false}},
		{"the annotation and another's class", "istio", true, of("k8s.io/ingress-nginx"), map[meshconfig.MeshConfig_IngressControllerMode]bool{off: false, strict: true, all: true}},
		{"a class that there is not", "", true, nil, map[meshconfig.MeshConfig_IngressControllerMode]bool{off: false, strict: false, all: false}},
		{"the annotation and a class that there is not", "istio", true, nil, map[meshconfig.MeshConfig_IngressControllerMode]bool{off: false, strict: false, all: false}},
	} {
		annotations, name := map[string]string{}, "c"
		if test.annotation != "" {
			annotations["kubernetes.io/ingress.class"] = test.annotation
		}
		named := &name
		if !test.named {
			named = nil
		}
		for mode, want := range test.want {
			mesh := model.DefaultMeshConfig()
			mesh.IngressControllerMode = mode
			if got := Serves(mesh, annotations, named, test.class); got != want {
				t.Errorf("%s, %s: %t", mode, test.about, got)
			}
		}
	}
}

func TestSelector(t *testing.T) {
	for _, test := range []struct{ selector, service, want string }{
		{"", "istio-ingressgateway", "ingressgateway"},
		{"", "edge", "edge"},
		{"", "", "ingressgateway"},
		{"own", "edge", "own"},
	} {
		mesh := model.DefaultMeshConfig()
		mesh.IngressService, mesh.IngressSelector = test.service, test.selector
		if got := Selector(mesh); !reflect.DeepEqual(got, map[string]string{"istio": test.want}) {
			t.Errorf("selector %q, service %q: %v", test.selector, test.service, got)
		}
	}
	if got := Selector(model.DefaultMeshConfig()); got["istio"] != "ingressgateway" {
		t.Errorf("by default: %v", got)
	}
}

func TestAddresses(t *testing.T) {
	service := &corev1.Service{
		Spec: corev1.ServiceSpec{ExternalIPs: []string{"192.0.2.9", "192.0.2.7"}},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{
			{Hostname: "lb.example.com"}, {IP: "192.0.2.9"}, {IP: "192.0.2.8", Hostname: "unused.example.com"}, {},
		}}},
	}
	want := []networkingv1.IngressLoadBalancerIngress{{IP: "192.0.2.7"}, {IP: "192.0.2.8"}, {IP: "192.0.2.9"}, {Hostname: "lb.example.com"}}
	if got := OfService(service); !reflect.DeepEqual(got, want) {
		t.Errorf("of a service: %v", got)
	}
	alias := &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "edge.example.com", ExternalIPs: []string{"192.0.2.1"}}}
	if got := OfService(alias); !reflect.DeepEqual(got, []networkingv1.IngressLoadBalancerIngress{{Hostname: "edge.example.com"}}) {
		t.Errorf("of an alias: %v", got)
	}
	pod := func(node string, phase corev1.PodPhase) *corev1.Pod {
		return &corev1.Pod{Spec: corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: phase}}
	}
	node := func(name, external, internal string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: internal}, {Type: corev1.NodeExternalIP, Address: external},
		}}}
	}
	got := OfPods(
		[]*corev1.Pod{pod("b", corev1.PodRunning), pod("b", corev1.PodRunning), pod("a", corev1.PodRunning), pod("c", corev1.PodPending)},
		[]*corev1.Node{node("b", "192.0.2.2", "10.0.0.2"), node("a", "192.0.2.1", "10.0.0.1"), node("c", "192.0.2.3", "10.0.0.3")},
	)
	if !reflect.DeepEqual(got, []networkingv1.IngressLoadBalancerIngress{{IP: "192.0.2.1"}, {IP: "192.0.2.2"}}) {
		t.Errorf("of nodes: %v", got)
	}
}
