package store

import (
	"cmp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// exportToAnnotation limits who may see a Kubernetes Service.
const exportToAnnotation = "networking.istio.io/exportTo"

// trafficDistribution says which endpoints are preferred, where the Service itself does not.
const trafficDistribution = "networking.istio.io/traffic-distribution"

// newService gives the service of a Kubernetes Service object; nil for an ExternalName, which is
// an alias without endpoints or a listener. ServiceAccounts follow from the endpoints. inNamespace is the
// trafficDistribution of its namespace.
func newService(o *model.Object, domain string, defaultExportTo []string, inNamespace string) *model.Service {
	k8s := o.Spec.(*corev1.Service)
	if k8s.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	svc := &model.Service{
		Key:             o.Key,
		Created:         o.Created,
		Hostname:        serviceHost(o.Namespace, o.Name, domain),
		Namespace:       o.Namespace,
		Name:            o.Name,
		Headless:        k8s.Spec.ClusterIP == corev1.ClusterIPNone,
		Selector:        k8s.Spec.Selector,
		ExportTo:        defaultExportTo,
		Labels:          o.Labels,
		PublishNotReady: k8s.Spec.PublishNotReadyAddresses,
		Origin:          o.Origin,
	}
	svc.TrafficDistribution = distribution(k8s.Spec.TrafficDistribution, o.Annotations, inNamespace)
	if p := k8s.Spec.InternalTrafficPolicy; p != nil {
		svc.NodeLocal = *p == corev1.ServiceInternalTrafficPolicyLocal
	}
	if svc.Headless {
		svc.Resolution = model.ResolutionPassthrough
	} else {
		svc.Addresses = clusterIPs(&k8s.Spec)
	}
	if exportTo := o.Annotations[exportToAnnotation]; exportTo != "" {
		svc.ExportTo = splitList(exportTo)
	}
	for i := range k8s.Spec.Ports {
		svc.Ports = append(svc.Ports, servicePort(&k8s.Spec.Ports[i]))
	}
	return svc
}

// distribution says which endpoints are preferred: as the Service has it, else as its annotation does, and without one as
// that of its namespace.
func distribution(spec *string, annotations map[string]string, ofNamespace string) string {
	if spec != nil {
		if d := model.Distribution(*spec); d != "" {
			return d
		}
	}
	return model.Distribution(cmp.Or(annotations[trafficDistribution], ofNamespace))
}

func splitList(text string) []string {
	var out []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

func clusterIPs(spec *corev1.ServiceSpec) []string {
	all := spec.ClusterIPs
	if len(all) == 0 && spec.ClusterIP != "" {
		all = []string{spec.ClusterIP}
	}
	var out []string
	for _, ip := range all {
		out = append(out, model.CanonicalIP(ip))
	}
	return out
}

func servicePort(p *corev1.ServicePort) model.ServicePort {
	out := model.ServicePort{Name: p.Name, Port: uint32(p.Port), Protocol: portProtocol(p)}
	switch {
	case p.TargetPort.Type == intstr.String && p.TargetPort.StrVal != "":
		out.TargetName = p.TargetPort.StrVal
	case p.TargetPort.IntVal > 0:
		out.TargetPort = uint32(p.TargetPort.IntVal)
	default:
		out.TargetPort = uint32(p.Port)
	}
	return out
}

// portProtocol decides what a port speaks: appProtocol if there is one, else the port's name up
// to the first dash. Without either the proxy sniffs, except on ports whose server speaks first.
func portProtocol(p *corev1.ServicePort) model.Protocol {
	if p.Protocol == corev1.ProtocolUDP || p.Protocol == corev1.ProtocolSCTP { // neither is served
		return model.ProtocolUDP
	}
	name := p.Name
	if p.AppProtocol != nil {
		name = *p.AppProtocol
	}
	if protocol, ok := protocolByName(strings.ToLower(name)); ok {
		return protocol
	}
	switch p.Port {
	case model.PortSMTP, model.PortDNS, model.PortMySQL, model.PortMongo:
		return model.ProtocolTCP
	}
	return model.ProtocolAuto
}

// protocols by what names of ports begin with.
var protocols = map[string]model.Protocol{
	"http": model.ProtocolHTTP, "http2": model.ProtocolHTTP2, "grpc": model.ProtocolGRPC, "https": model.ProtocolHTTPS,
	"tls": model.ProtocolTLS, "tcp": model.ProtocolTCP, "udp": model.ProtocolUDP,
	"mongo": model.ProtocolMongo, "redis": model.ProtocolRedis, "mysql": model.ProtocolMySQL,
}

func protocolByName(name string) (model.Protocol, bool) {
	switch name {
	case "kubernetes.io/h2c":
		return model.ProtocolHTTP2, true
	case "kubernetes.io/ws":
		return model.ProtocolHTTP, true
	case "kubernetes.io/wss":
		return model.ProtocolHTTPS, true
	}
	if name == "grpc-web" || strings.HasPrefix(name, "grpc-web-") {
		return model.ProtocolGRPCWeb, true
	}
	prefix, _, _ := strings.Cut(name, "-")
	protocol, known := protocols[prefix]
	return protocol, known
}
