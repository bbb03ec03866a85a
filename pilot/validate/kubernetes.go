package validate

import (
	"cmp"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func (c *checker) notTranslated(field, format string, args ...any) {
	c.add(field, model.SeverityWarning, model.ReasonNotTranslated, format, args...)
}

func (c *checker) service(svc *corev1.Service) {
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		if !isHost(strings.TrimSuffix(svc.Spec.ExternalName, ".")) {
			c.fail("spec.externalName", "%q is no host; name the one that the Service stands for", svc.Spec.ExternalName)
		}
		return
	}
	c.labels("spec.selector", svc.Spec.Selector)
	for i, ip := range append([]string{svc.Spec.ClusterIP}, svc.Spec.ClusterIPs...) {
		if ip != "" && ip != corev1.ClusterIPNone && !isIP(ip) {
			field := "spec.clusterIP"
			if i > 0 {
				field = at("spec.clusterIPs", i-1)
			}
			c.fail(field, "%q is no IP address", ip)
		}
	}
	if exportTo := svc.Annotations["networking.istio.io/exportTo"]; exportTo != "" {
		list := strings.Split(exportTo, ",")
		for i := range list {
			list[i] = strings.TrimSpace(list[i])
		}
		c.exportTo("metadata.annotations[networking.istio.io/exportTo]", list, c.fail)
	}
	if d := svc.Spec.TrafficDistribution; d != nil {
		c.trafficDistribution("spec.trafficDistribution", *d)
	} else {
		c.distributionAnnotation()
	}
	c.networkService(svc)
	names, ports := map[string]bool{}, map[string]bool{}
	for i := range svc.Spec.Ports {
		c.servicePort(at("spec.ports", i), &svc.Spec.Ports[i], len(svc.Spec.Ports) > 1, names, ports)
	}
}

// distributionAnnotation says what spec.trafficDistribution does not, and a ServiceEntry does not have.
const distributionAnnotation = "networking.istio.io/traffic-distribution"

func (c *checker) distributionAnnotation() {
	if d := c.object.Annotations[distributionAnnotation]; d != "" {
		c.trafficDistribution("metadata.annotations["+distributionAnnotation+"]", d)
	}
}

// trafficDistribution reports a preference that is none. An API server refuses it in a Service.
func (c *checker) trafficDistribution(field, d string) {
	if model.Distribution(d) != "" || strings.EqualFold(d, "Any") || strings.EqualFold(d, "PreferAny") {
		return
	}
	c.warn(field, "%q prefers nothing; use %s, %s or %s", d, model.PreferClose, model.PreferSameZone, model.PreferSameNode)
}

func (c *checker) servicePort(path string, p *corev1.ServicePort, several bool, names, ports map[string]bool) {
	if !isPort(int64(p.Port)) {
		c.fail(path+".port", "%d is no port; use 1 to 65535", p.Port)
	}
	if p.TargetPort.Type == intstr.Int && p.TargetPort.IntVal != 0 && !isPort(int64(p.TargetPort.IntVal)) {
		c.fail(path+".targetPort", "%d is no port; use 1 to 65535", p.TargetPort.IntVal)
	}
	switch p.Protocol {
	case "", corev1.ProtocolTCP, corev1.ProtocolUDP:
	case corev1.ProtocolSCTP:
		c.notTranslated(path+".protocol", "SCTP is not translated by this version; proxies do not know the port")
	default:
		c.fail(path+".protocol", "%q is no protocol; use TCP or UDP", p.Protocol)
	}
	switch {
	case p.Name == "" && several:
		c.fail(path+".name", "is missing; a Service with several ports has to name them")
	case names[p.Name]:
		c.fail(path+".name", "%q is the name of another port too; rename one", p.Name)
	}
	names[p.Name] = true
	id := fmt.Sprint(p.Port, cmp.Or(p.Protocol, corev1.ProtocolTCP))
	if ports[id] {
		c.fail(path+".port", "%d is there twice; remove one", p.Port)
	}
	ports[id] = true
}

func (c *checker) pod(pod *corev1.Pod) {
	if ip := pod.Status.PodIP; ip != "" && !isIP(ip) {
		c.fail("status.podIP", "%q is no IP address", ip)
	}
	if pod.Status.Reason == model.PodNotAdmitted {
		c.fail("status", "the node does not run it: %s", pod.Status.Message)
	}
	for field, containers := range map[string][]corev1.Container{
		"spec.containers": pod.Spec.Containers, "spec.initContainers": pod.Spec.InitContainers,
	} {
		for i := range containers {
			for j, port := range containers[i].Ports {
				if !isPort(int64(port.ContainerPort)) {
					c.fail(at(at(field, i)+".ports", j)+".containerPort", "%d is no port; use 1 to 65535", port.ContainerPort)
				}
			}
		}
	}
}

func (c *checker) endpointSlice(s *discoveryv1.EndpointSlice) {
	if c.object.Labels[discoveryv1.LabelServiceName] == "" {
		c.warn("metadata.labels", "has no %s, so the endpoints are of no Service; set the label", discoveryv1.LabelServiceName)
	}
	switch s.AddressType {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6:
	case discoveryv1.AddressTypeFQDN:
		c.notTranslated("addressType", "FQDN is not translated by this version; the endpoints are left out")
		return
	default:
		c.fail("addressType", "%q is unknown; use IPv4 or IPv6", s.AddressType)
	}
	for i := range s.Endpoints {
		for j, address := range s.Endpoints[i].Addresses {
			if !isIP(address) {
				c.fail(at(at("endpoints", i)+".addresses", j), "%q is no IP address", address)
			}
		}
	}
	for i, port := range s.Ports {
		if port.Port != nil && !isPort(int64(*port.Port)) {
			c.fail(at("ports", i)+".port", "%d is no port; use 1 to 65535", *port.Port)
		}
	}
}
