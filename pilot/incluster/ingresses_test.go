package incluster

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// meshOf is a mesh's configuration that changes.
type meshOf struct {
	mu      sync.Mutex
	config  *meshconfig.MeshConfig
	changed chan struct{}
}

func (m *meshOf) Mesh() *meshconfig.MeshConfig {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.config
}

func (m *meshOf) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

func (m *meshOf) set(edit func(*meshconfig.MeshConfig)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.config = model.DefaultMeshConfig()
	edit(m.config)
	close(m.changed)
	m.changed = make(chan struct{})
}

// served is an API server with Ingresses and the mesh whose leader writes their status.
type served struct {
	*testing.T
	client *fake.Clientset
	mesh   *meshOf
}

func newServed(t *testing.T, objects ...runtime.Object) *served {
	return &served{t, fake.NewClientset(objects...), &meshOf{config: model.DefaultMeshConfig(), changed: make(chan struct{})}}
}

func ingressOf(name, class string) *networkingv1.Ingress {
	return &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: "shop", Annotations: map[string]string{"kubernetes.io/ingress.class": class},
	}}
}

// gateway is the Service of gateways at an address.
func gateway(name, address string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "istio-system"},
		Status:     corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: address}}}},
	}
}

// lead runs the writer until the returned function is called.
func (e *served) lead() (stop func()) {
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(e.Context())
	go func() {
		defer close(done)
		keepIngresses(ctx, Options{Client: e.client, Mesh: e.mesh, Identity: "a", Logger: slog.New(slog.DiscardHandler)})
	}()
	return func() { cancel(); <-done }
}

// settle lets the writer do what it has to.
func settle() {
	time.Sleep(10 * time.Second) // of the bubble
	synctest.Wait()
}

// wants compares the status of an Ingress.
func (e *served) wants(about, name string, want ...networkingv1.IngressLoadBalancerIngress) {
	e.Helper()
	o, err := e.client.NetworkingV1().Ingresses("shop").Get(e.Context(), name, metav1.GetOptions{})
	if err != nil {
		e.Fatal(err)
	}
	if got := o.Status.LoadBalancer.Ingress; len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		e.Errorf("%s: %s is reached at %v", about, name, got)
	}
}

func (e *served) writes() (n int) {
	for _, a := range e.client.Actions() {
		if a.GetVerb() == "patch" && a.GetResource().Resource == "ingresses" && a.GetSubresource() == "status" {
			n++
		}
	}
	return n
}

func ip(address string) networkingv1.IngressLoadBalancerIngress {
	return networkingv1.IngressLoadBalancerIngress{IP: address}
}

func TestIngressesSayWhereTheirGatewaysAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := ingressOf("other", "nginx")
		other.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{ip("198.51.100.1")}
		e := newServed(t, ingressOf("web", "istio"), other, gateway("istio-ingressgateway", "192.0.2.1"), gateway("edge", "192.0.2.2"))
		defer e.lead()()
		settle()
		e.wants("at first", "web", ip("192.0.2.1"))
		e.wants("another controller's", "other", ip("198.51.100.1"))
		settle()
		if n := e.writes(); n != 1 {
			t.Errorf("%d writes of one Ingress", n)
		}

		if _, err := e.client.CoreV1().Services("istio-system").Update(t.Context(), gateway("istio-ingressgateway", "192.0.2.3"), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		settle()
		e.wants("the gateway has moved", "web", ip("192.0.2.3"))

		e.mesh.set(func(m *meshconfig.MeshConfig) { m.IngressService = "edge" })
		settle()
		e.wants("other gateways", "web", ip("192.0.2.2"))

		e.mesh.set(func(m *meshconfig.MeshConfig) { m.IngressService, m.IngressClass = "edge", "nginx" })
		settle()
		e.wants("no longer the mesh's", "web")
		e.wants("now the mesh's", "other", ip("192.0.2.2"))

		if err := e.client.CoreV1().Services("istio-system").Delete(t.Context(), "edge", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		settle()
		e.wants("without a gateway", "other")
	})
}

func TestIngressesOfGatewaysWithoutAService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeExternalIP, Address: "192.0.2.5"}},
		}}
		e := newServed(t, ingressOf("web", "istio"), node, gateway("istio-ingressgateway", "192.0.2.1"))
		e.mesh.set(func(m *meshconfig.MeshConfig) { m.IngressService = "" })
		defer e.lead()()
		settle()
		e.wants("no gateway runs", "web")
		for name, label := range map[string]string{"app": "app", "gateway": "ingressgateway"} {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "istio-system", Labels: map[string]string{"istio": label}},
				Spec:       corev1.PodSpec{NodeName: "n"}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
			}
			if _, err := e.client.CoreV1().Pods("istio-system").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			if settle(); name == "gateway" {
				e.wants("a gateway runs", "web", ip("192.0.2.5"))
			}
		}
	})
}

func TestIngressesAreWrittenAtABoundedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects := []runtime.Object{gateway("istio-ingressgateway", "192.0.2.1")}
		for i := range 45 {
			objects = append(objects, ingressOf(fmt.Sprintf("i%02d", i), "istio"))
		}
		e := newServed(t, objects...)
		defer e.lead()()
		time.Sleep(2500 * time.Millisecond) // of the bubble
		synctest.Wait()
		if n := e.writes(); n < 10 || n > 30 {
			t.Errorf("%d writes after 2.5 s", n)
		}
		settle()
		if n := e.writes(); n != 45 {
			t.Errorf("%d writes of 45", n)
		}
	})
}
