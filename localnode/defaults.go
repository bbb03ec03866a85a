package localnode

import (
	"maps"
	"net"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pilothouse-mesh/pilothouse/localnode/network"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

const (
	gatewayName  = "istio-ingressgateway"
	gatewayLabel = "ingressgateway" // of label istio
	istiodName   = "istiod"
)

// defaults are the objects that a mesh has where its directories have none.
type defaults struct {
	namespaces  []*corev1.Namespace
	accounts    []*corev1.ServiceAccount
	services    []*corev1.Service
	deployments []*appsv1.Deployment
	slices      []*discoveryv1.EndpointSlice
}

// objects gives all of them, for the state directory. Deployments are left out: the control plane
// sees their pods.
func (d defaults) objects() []runtime.Object {
	var out []runtime.Object
	for _, o := range d.namespaces {
		out = append(out, o)
	}
	for _, o := range d.accounts {
		out = append(out, o)
	}
	for _, o := range d.slices {
		out = append(out, o)
	}
	return out
}

// defaultsFor looks at the world and gives what it lacks.
func defaultsFor(w *world, plan network.Plan, plaintextAddr string) defaults {
	ports := istiodPorts(plaintextAddr)
	d := defaults{
		services: []*corev1.Service{istiodService(plan, ports)},
		slices:   []*discoveryv1.EndpointSlice{istiodEndpoints(plan, ports)},
	}
	if !hasGateway(w) {
		d.deployments = append(d.deployments, gatewayDeployment())
		d.accounts = append(d.accounts, account(model.RootNamespace, gatewayName+"-service-account"))
		if _, ok := get[*corev1.Service](w, model.Key{Kind: model.KindService, Namespace: model.RootNamespace, Name: gatewayName}); !ok {
			d.services = append(d.services, gatewayService())
		}
	}
	for _, name := range usedNamespaces(w) {
		if _, ok := get[*corev1.Namespace](w, model.Key{Kind: model.KindNamespace, Name: name}); !ok {
			d.namespaces = append(d.namespaces, namespace(name))
		}
		if _, ok := get[*corev1.ServiceAccount](w, model.Key{Kind: model.KindServiceAccount, Namespace: name, Name: "default"}); !ok {
			d.accounts = append(d.accounts, account(name, "default"))
		}
	}
	return d
}

// usedNamespaces are default, istio-system and those of the workloads, sorted.
func usedNamespaces(w *world) []string {
	used := map[string]bool{"default": true, model.RootNamespace: true}
	w.mu.RLock()
	defer w.mu.RUnlock()
	for k := range w.objects {
		switch k.Kind {
		case model.KindPod, model.KindDeployment, model.KindService, model.KindServiceAccount:
			used[k.Namespace] = true
		case model.KindNamespace:
			used[k.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(used))
}

// hasGateway tells whether the directories run an ingress gateway of their own.
func hasGateway(w *world) bool {
	for _, d := range list[*appsv1.Deployment](w, model.KindDeployment) {
		if d.Spec.Template.Labels["istio"] == gatewayLabel {
			return true
		}
	}
	for _, p := range list[*corev1.Pod](w, model.KindPod) {
		if p.Labels["istio"] == gatewayLabel {
			return true
		}
	}
	return false
}

// namespace is an implicit one. It asks for sidecars, as the tools that read files take it of all that have no object.
func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name, model.LabelInjection: "enabled"}},
	}
}

func account(namespace, name string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
	}
}

func service(namespace, name string, labels map[string]string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec:       corev1.ServiceSpec{Ports: ports},
	}
}

func tcpPort(name string, port int32, target int) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: port, TargetPort: intstr.FromInt(target), Protocol: corev1.ProtocolTCP}
}

func gatewayLabels() map[string]string {
	return map[string]string{"app": gatewayName, "istio": gatewayLabel}
}

func gatewayService() *corev1.Service {
	s := service(model.RootNamespace, gatewayName, gatewayLabels(),
		tcpPort("status-port", 15021, 15021), tcpPort("http2", 80, 8080), tcpPort("https", 443, 8443))
	s.Spec.Type = corev1.ServiceTypeLoadBalancer
	s.Spec.Selector = gatewayLabels()
	return s
}

// gatewayDeployment leaves all but its name to the injector's template for gateways.
func gatewayDeployment() *appsv1.Deployment {
	one := int32(1)
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: model.RootNamespace, Name: gatewayName, Labels: gatewayLabels()},
		Spec: appsv1.DeploymentSpec{
			Replicas: &one,
			Selector: &metav1.LabelSelector{MatchLabels: gatewayLabels()},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{
					Labels:      gatewayPodLabels(),
					Annotations: map[string]string{"inject.istio.io/templates": "gateway"},
				},
				Spec: corev1.PodSpec{
					ServiceAccountName: gatewayName + "-service-account",
					Containers:         []corev1.Container{{Name: "istio-proxy", Image: "auto"}},
				},
			},
		},
	}
}

func gatewayPodLabels() map[string]string {
	l := gatewayLabels()
	l["sidecar.istio.io/inject"] = "true"
	return l
}

// istiodService gives the control plane, which runs beside the pods, its name and address.
func istiodService(plan network.Plan, ports []corev1.ServicePort) *corev1.Service {
	s := service(model.RootNamespace, istiodName, map[string]string{"app": istiodName, "istio": "pilot"}, ports...)
	s.Spec.ClusterIP = plan.Istiod.String()
	return s
}

func istiodPorts(plaintextAddr string) []corev1.ServicePort {
	ports := []corev1.ServicePort{
		tcpPort("https-dns", 15012, 15012), tcpPort("https-webhook", 443, 15017), tcpPort("http-monitoring", 15014, 15014),
	}
	if _, port, err := net.SplitHostPort(plaintextAddr); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil {
			ports = append(ports, tcpPort("grpc-xds", 15010, int(n)))
		}
	}
	return ports
}

func istiodEndpoints(plan network.Plan, ports []corev1.ServicePort) *discoveryv1.EndpointSlice {
	ready := true
	e := &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: model.RootNamespace, Name: istiodName + "-local",
			Labels: map[string]string{discoveryv1.LabelServiceName: istiodName},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{plan.Istiod.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		}},
	}
	for _, p := range ports {
		n, proto := p.TargetPort.IntVal, p.Protocol
		e.Ports = append(e.Ports, discoveryv1.EndpointPort{Name: &p.Name, Port: &n, Protocol: &proto})
	}
	return e
}
