package localnode

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pilothouse-mesh/pilothouse/localnode/dns"
	"github.com/pilothouse-mesh/pilothouse/localnode/network"
)

// headless tells whether a Service has no address of its own by its own wish.
func headless(s *corev1.Service) bool { return s.Spec.ClusterIP == corev1.ClusterIPNone }

func external(s *corev1.Service) bool { return s.Spec.Type == corev1.ServiceTypeExternalName }

// backendsOf gives the pods that a Service selects and that take traffic now.
func backendsOf(s *corev1.Service, pods []*corev1.Pod) []*corev1.Pod {
	if len(s.Spec.Selector) == 0 {
		return nil
	}
	sel := labels.SelectorFromSet(s.Spec.Selector)
	var out []*corev1.Pod
	for _, p := range pods {
		takes := isReady(p) || s.Spec.PublishNotReadyAddresses
		if p.Namespace == s.Namespace && takes && p.Status.PodIP != "" && sel.Matches(labels.Set(p.Labels)) {
			out = append(out, p)
		}
	}
	return out
}

// targetPort gives the number of a Service's port in one pod, or 0 where the pod names none so.
func targetPort(p *corev1.Pod, port corev1.ServicePort) uint16 {
	t := port.TargetPort
	switch {
	case t.Type == intstr.Int && t.IntVal > 0:
		return uint16(t.IntVal)
	case t.Type == intstr.Int || t.StrVal == "":
		return uint16(port.Port)
	}
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for _, c := range list {
			for _, cp := range c.Ports {
				if cp.Name == t.StrVal {
					return uint16(cp.ContainerPort)
				}
			}
		}
	}
	n, err := strconv.ParseUint(t.StrVal, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}

// forwardsOf gives what the namespace's nat table does for one Service.
func forwardsOf(s *corev1.Service, pods []*corev1.Pod) []network.Forward {
	addr, err := netip.ParseAddr(s.Spec.ClusterIP)
	if err != nil || headless(s) || external(s) {
		return nil
	}
	backends := backendsOf(s, pods)
	var out []network.Forward
	for _, port := range s.Spec.Ports {
		f := network.Forward{Address: addr, Port: uint16(port.Port), Protocol: network.TCP}
		switch port.Protocol {
		case corev1.ProtocolUDP:
			f.Protocol = network.UDP
		case corev1.ProtocolSCTP:
			continue
		}
		for _, p := range backends {
			ip, err := netip.ParseAddr(p.Status.PodIP)
			if n := targetPort(p, port); err == nil && n != 0 {
				f.Backends = append(f.Backends, netip.AddrPortFrom(ip, n))
			}
		}
		out = append(out, f)
	}
	return out
}

// recordOf gives what DNS tells of one Service.
func recordOf(s *corev1.Service, pods []*corev1.Pod) dns.Service {
	r := dns.Service{Namespace: s.Namespace, Name: s.Name}
	if external(s) {
		r.External = s.Spec.ExternalName
		return r
	}
	for _, p := range s.Spec.Ports {
		proto := strings.ToLower(string(p.Protocol))
		if proto == "" {
			proto = "tcp"
		}
		r.Ports = append(r.Ports, dns.Port{Name: p.Name, Protocol: proto, Port: uint16(p.Port)})
	}
	if !headless(s) {
		if a, err := netip.ParseAddr(s.Spec.ClusterIP); err == nil {
			r.Addresses = []netip.Addr{a}
		}
		return r
	}
	r.Hosts = map[string][]netip.Addr{}
	for _, p := range backendsOf(s, pods) {
		a, err := netip.ParseAddr(p.Status.PodIP)
		if err != nil {
			continue
		}
		r.Addresses = append(r.Addresses, a)
		if p.Spec.Hostname != "" && p.Spec.Subdomain == s.Name {
			r.Hosts[p.Spec.Hostname] = append(r.Hosts[p.Spec.Hostname], a)
		}
	}
	slices.SortFunc(r.Addresses, netip.Addr.Compare)
	return r
}
